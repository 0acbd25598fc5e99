"""What of each service outlives its processes: its database, and the outside that it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from messaging.handler import Handler, NoEffects, Performer
from messaging.memory import MemoryDatabase
from messaging.ports import Clock
from services.customer.handlers import CustomerHandler
from services.customer.memory import MemoryCustomers
from services.inventory.handlers import InventoryHandler
from services.inventory.memory import MemoryInventory, MemoryTables
from services.notification.handlers import MailHandler
from services.notification.memory import MemoryMails
from services.orders.handlers import OrdersHandler
from services.orders.memory import MemoryOrders
from services.payment.gateway.domain import Decision, LedgerCall
from services.payment.gateway.ledger import Entry, MemoryLedger
from services.payment.gateway.port import GatewayUnavailable, RefundRequest
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

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        """See `LedgerStore.apply`."""
        if self.away:
            raise GatewayUnavailable(call.operation, call.refund_id or call.charge_id, "the gateway is away")
        return await super().apply(call, timeout_s)

    def entries_now(self, order_id: str | None, now: datetime) -> list[Entry]:
        """See `LedgerStore.entries`."""
        return finish(self.entries(order_id, now))

    def refunds_made(self, order_id: str) -> list[RefundRequest]:
        """The refunds of an order that were given back."""
        made = [row.request for row in self._refunds.values() if row.refunded_at is not None]
        return [request for request in made if request.order_id == order_id]


class Parts:
    """The databases of all services, the gateway with its ledger, the mail server."""

    def __init__(self, clock: Clock, failure_rate: float, currency: str) -> None:
        self.orders = MemoryOrders()
        self.inventory = MemoryTables()
        self.charges = MemoryCharges()
        self.customers = MemoryCustomers()
        self.notification = MemoryMails()
        #: What is bought together. Here nobody learns it: a test says it.
        self.pairs: dict[str, tuple[Pair, ...]] = {}
        self.ledger = OpenLedger()
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
