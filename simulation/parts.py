"""What of each service outlives its processes: its database, and the outside that it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from messaging.handler import Handler, NoEffects, Performer
from messaging.memory import MemoryDatabase, MemoryTransaction
from messaging.ports import Clock
from services.customer.handlers import CustomerHandler
from services.customer.memory import MemoryCustomers
from services.inventory.handlers import InventoryHandler
from services.inventory.memory import MemoryInventory, MemoryTables
from services.notification.handlers import MailHandler
from services.notification.memory import MemoryMails
from services.orders.domain import Order
from services.orders.handlers import OrdersHandler
from services.orders.memory import MemoryOrders
from services.orders.store import Changes
from services.payment.gateway.domain import ChargeRow, ChargeState, Decision, LedgerCall, RefundRow
from services.payment.gateway.ledger import Entry, MemoryLedger
from services.payment.gateway.port import ChargeRequest, GatewayUnavailable, RefundRequest
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.handlers import PaymentHandler
from services.payment.memory import MemoryCharges
from services.payment.performer import GatewayPerformer
from services.recommendation.handlers import RecommendationHandler
from services.recommendation.pairs import Pair
from simulation.clock import finish
from simulation.mailbox import Mailbox

A = TypeVar("A")

SERVICES: Final = ("orders", "inventory", "payment", "customer", "recommendation", "notification")


@dataclass(frozen=True, slots=True)
class Part:
    """A service without a process. `handler` and `performer` make new ones for each process that comes to life."""

    database: MemoryDatabase
    handler: Callable[[], Handler]
    performer: Callable[[], Performer] = NoEffects


class OpenLedger(MemoryLedger):
    """The gateway's ledger, open to whoever audits it. `away`: no call gets through to the gateway."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self._of_order: dict[str, tuple[dict[str, None], dict[str, None]]] = {}

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        """See `LedgerStore.apply`."""
        if self.away:
            raise GatewayUnavailable(call.operation, call.refund_id or call.charge_id, "the gateway is away")
        decision = self.decide(call)
        self.keep(call, decision)
        return decision

    def decide(self, call: LedgerCall[A]) -> Decision[A]:
        """What the gateway does."""
        return call.decide(*self.rows(call))

    def rows(self, call: LedgerCall[A]) -> tuple[ChargeRow | None, RefundRow | None]:
        """The rows that a call is about."""
        refund = None if call.refund_id is None else self._refunds.get(call.refund_id)
        return self._charges.get(call.charge_id), refund

    def keep(self, call: LedgerCall[A], decision: Decision[A]) -> None:
        """The rows as they stand after the call."""
        charge, refund = decision.charge, decision.refund
        if charge is not None:
            self._charges[call.charge_id] = charge
            if charge.request is not None:
                self._ids(charge.request.order_id)[0][call.charge_id] = None
        if call.refund_id is not None and refund is not None:
            self._refunds[call.refund_id] = refund
            self._ids(refund.request.order_id)[1][call.refund_id] = None

    def _ids(self, order_id: str) -> tuple[dict[str, None], dict[str, None]]:
        return self._of_order.setdefault(order_id, ({}, {}))

    def entries_now(self, order_id: str | None, now: datetime) -> list[Entry]:
        """See `LedgerStore.entries`."""
        return finish(self.entries(order_id, now))

    def charges_made(self, order_id: str, now: datetime) -> list[ChargeRequest]:
        """The charges of an order whose money has moved."""
        rows = [self._charges[charge_id] for charge_id in self._ids(order_id)[0]]
        return [row.request for row in rows if row.request is not None and moved(row, now)]

    def refunds_made(self, order_id: str) -> list[RefundRequest]:
        """The refunds of an order that were given back."""
        rows = [self._refunds[refund_id] for refund_id in self._ids(order_id)[1]]
        return [row.request for row in rows if row.refunded_at is not None]


def moved(row: ChargeRow, now: datetime) -> bool:
    """Whether the money of a charge has moved by now."""
    under_way = row.state is ChargeState.UNDER_WAY and row.lands_at is not None and row.lands_at <= now
    return row.state is ChargeState.CAPTURED or under_way


@dataclass(slots=True)
class SeenOrders(MemoryOrders):
    """See `MemoryOrders`. `latest`: each order as it was written last, before it became JSON."""

    latest: dict[str, Order] = field(default_factory=dict)

    def stage(self, transaction: MemoryTransaction, changes: Changes) -> None:
        """See `MemoryOrders.stage`."""
        MemoryOrders.stage(self, transaction, changes)
        transaction.stage(lambda: self.latest.update({order.order_id: order for order, _ in changes.orders}))


class Parts:
    """The databases of all services, the gateway with its ledger, the mail server."""

    def __init__(self, clock: Clock, failure_rate: float, currency: str, ledger: OpenLedger) -> None:
        self.orders = SeenOrders()
        self.inventory = MemoryTables()
        self.charges = MemoryCharges()
        self.customers = MemoryCustomers()
        self.notification = MemoryMails()
        #: What is bought together. Here nobody learns it: a test says it.
        self.pairs: dict[str, tuple[Pair, ...]] = {}
        self.ledger = ledger
        self.gateway = SimulatedGateway(self.ledger, clock, failure_rate)
        self.mailbox = Mailbox()
        self.of: dict[str, Part] = {
            "orders": Part(MemoryDatabase(clock), lambda: OrdersHandler(self.orders)),
            "inventory": Part(
                MemoryDatabase(clock), lambda: InventoryHandler(MemoryInventory(self.inventory), currency)
            ),
            "payment": Part(
                MemoryDatabase(clock), lambda: PaymentHandler(self.charges), lambda: GatewayPerformer(self.gateway)
            ),
            "customer": Part(MemoryDatabase(clock), lambda: CustomerHandler(self.customers)),
            "recommendation": Part(MemoryDatabase(clock), lambda: RecommendationHandler(self.pairs)),
            "notification": Part(MemoryDatabase(clock), lambda: MailHandler(self.notification), lambda: self.mailbox),
        }
