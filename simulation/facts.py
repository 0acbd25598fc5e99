"""What the audit's rules judge, from memory: the same facts that the audit loads from databases, topics and the gateway."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from audit.facts import (
    Charge,
    CommandRow,
    CommonFacts,
    CustomerFacts,
    GatewayEntry,
    HistoryEntry,
    Irregularity,
    Line,
    Mail,
    MoneyFacts,
    OrderFacts,
    OrderRow,
    Published,
    Refund,
    Reservation,
    SentCommand,
    StockFacts,
    StockRow,
)
from audit.fold import settled_by_hand
from audit.partitions import Effect, OutboxRow, ParkedKey, PartitionFacts, Timer
from contracts.customer import CustomerRegistered
from contracts.envelope import InvalidCommand, Unreadable, decode_command, decode_event, event_type
from contracts.inventory import StockAdjusted, StockReceived
from contracts.letters import Letter
from contracts.topics import ORDERS_COMMANDS, ORDERS_EVENTS
from contracts.values import PricedItem
from messaging.memory import MemoryBroker, MemoryDatabase
from messaging.partitioner import partition_of
from messaging.ports import Clock, Parked
from services.inventory.ledger import Stock
from services.orders.domain import Order
from services.orders.domain.decide import TIMER
from services.orders.history import Entry
from services.orders.store import parse_order
from services.payment.state import Charge as PaymentCharge
from services.payment.state import End
from simulation.parts import Parts


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that anybody has on record."""

    orders: tuple[OrderFacts, ...]
    common: CommonFacts


def books(parts: Parts, broker: MemoryBroker, clock: Clock, at_rest: bool) -> Books:
    """The facts of the whole system. `at_rest`: nothing is under way, so that different parties' records can be compared."""
    sent, published = _sent(broker), _published(broker)
    reservations: dict[str, list[Reservation]] = defaultdict(list)
    for (order_id, _), found in parts.inventory.reservations.items():
        lines = lines_of(found.lines)
        late_s = None if found.expires_at is None else (clock.now() - found.expires_at).total_seconds()
        over_for_s = late_s if late_s is not None and late_s > 0 else None
        reservations[order_id].append(Reservation(found.reservation_id, found.state, lines, found.currency, over_for_s))
    mails: dict[str, list[Mail]] = defaultdict(list)
    for mail in parts.notification.mails.values():
        mails[mail.order_id].append(Mail(mail.kind, mail.cause, mail.message_id))
    parked: dict[str, tuple[str, ...]] = {}
    for service, part in parts.of.items():
        for row in part.database.parked.values():
            parked[row.key] = (*(name for name in parked.get(row.key, ()) if name != service), service)
    known = dict.fromkeys(
        (*parts.orders.states, *parts.orders.verdicts, *reservations, *(c.order_id for c in parts.charges.all()), *sent)
    )
    orders = tuple(
        OrderFacts(
            order_id=order_id,
            row=row_of(parts, order_id),
            history=tuple(entry_of(entry) for entry in parts.orders.history.get(order_id, ())),
            commands=commands_of(parts, order_id),
            timers=timers_of(parts, order_id, broker.partitions),
            reservations=tuple(reservations.get(order_id, ())),
            charges=charges_of(parts, order_id),
            entries=entries_of(parts, clock, order_id),
            mails=tuple(mails.get(order_id, ())),
            published=tuple(published.get(order_id, ())),
            sent=tuple(sent.get(order_id, ())),
            at_rest=at_rest and order_id not in parked,
            parked_at=parked.get(order_id, ()),
            counted_for=counted_for(parts, order_id),
        )
        for order_id in known
    )
    common = CommonFacts(
        stock=_stock(parts),
        irregularities=tuple(_irregularities(parts)),
        partitions=tuple(_partitions(parts, clock, broker.partitions)),
        money=money_of(orders) if at_rest else None,
        customers=_customers(parts, at_rest),
    )
    return Books(orders, common)


def lines_of(items: Iterable[PricedItem]) -> tuple[Line, ...]:
    """Lines of an order or a reservation."""
    return tuple(Line(item.sku, item.quantity, item.unit_price_minor) for item in items)


def row_of(parts: Parts, order_id: str) -> OrderRow | None:
    """The orchestrator's row of an order."""
    found = parts.orders.states.get(order_id)
    return None if found is None else order_row(parse_order(found[0]))


def order_row(order: Order) -> OrderRow:
    """The row that an order becomes."""
    return OrderRow(
        status=order.status,
        workflow=order.workflow,
        workflow_version=order.workflow_version,
        customer_id=order.customer_id,
        items=lines_of(order.items),
        currency=order.currency,
        total_minor=order.total_minor,
        reason=order.reason,
        paused=order.paused_at is not None,
    )


class _Plain(Mapping[str, Any]):
    """What was said, as JSON; made only where somebody looks."""

    def __init__(self, data: BaseModel) -> None:
        self._data = data
        self._plain: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if self._plain is None:
            self._plain = self._data.model_dump(mode="json")
        return self._plain[name]

    def __iter__(self) -> Iterator[str]:
        return iter(type(self._data).model_fields)

    def __len__(self) -> int:
        return len(type(self._data).model_fields)


def entry_of(entry: Entry) -> HistoryEntry:
    """An entry of an order's history."""
    said = entry.said
    data = _Plain(said.data) if isinstance(said.data, BaseModel) else said.data
    return HistoryEntry(said.seq, said.type, said.event_id, data, said.cause)


def commands_of(parts: Parts, order_id: str) -> tuple[CommandRow, ...]:
    """What the orchestrator remembers of the commands to an order."""
    told = parts.orders.verdicts.get(order_id, {}).values()
    return tuple(CommandRow(v.command.source, v.command.id, v.command.type, v.accepted, v.reason) for v in told)


def timers_of(parts: Parts, order_id: str, partitions: int) -> tuple[datetime, ...]:
    """The due times of an order's timers."""
    timer = parts.of["orders"].database.timers.get((partition_of(order_id, partitions), order_id, TIMER))
    return () if timer is None else (timer.due_at,)


def charges_of(parts: Parts, order_id: str) -> tuple[Charge, ...]:
    """Payment's rows of an order."""
    return tuple(charge_of(charge) for charge in parts.charges.of_order(order_id))


def charge_of(charge: PaymentCharge) -> Charge:
    """Payment's row of a charge."""
    refunds = tuple(
        Refund(refund.refund_id, refund.amount_minor, refund.currency, refund.line.end is End.REFUNDED)
        for refund in charge.refunds
    )
    return Charge(
        charge_id=charge.charge_id,
        status=charge.status.value,
        amount_minor=charge.amount_minor,
        currency=charge.currency,
        captured_minor=charge.captured_minor,
        refunded_minor=charge.refunded_minor,
        refunds=refunds,
    )


def entries_of(parts: Parts, clock: Clock, order_id: str) -> tuple[GatewayEntry, ...]:
    """The money of an order that moved, as the gateway has it."""
    charges = [
        GatewayEntry("charge", request.charge_id, request.amount_minor, request.currency)
        for request in parts.ledger.charges_made(order_id, clock.now())
    ]
    refunds = [
        GatewayEntry("refund", request.charge_id, request.amount_minor, request.currency, request.refund_id)
        for request in parts.ledger.refunds_made(order_id)
    ]
    return (*charges, *refunds)


def _published(broker: MemoryBroker) -> Mapping[str, list[Published]]:
    found: dict[str, list[Published]] = defaultdict(list)
    for record in broker.all_records(ORDERS_EVENTS):
        named = event_type(record.value, record.headers)
        event = decode_event(named, record.value)
        seen = Published(event.id, named, event.sequence, record.partition, record.offset)
        found[event.subject].append(seen)
    return found


def _sent(broker: MemoryBroker) -> Mapping[str, list[SentCommand]]:
    """The commands that can be answered, as their senders remember them."""
    found: dict[str, list[SentCommand]] = defaultdict(list)
    for record in broker.all_records(ORDERS_COMMANDS):
        try:
            command = decode_command(record.topic, record.key, record.value, record.headers)
        except Unreadable:
            continue
        if isinstance(command, InvalidCommand):
            named, kind = command.command_id, command.command_type
        else:
            named, kind = command.id, command.type
        found[command.subject].append(SentCommand(command.source, named, kind, acknowledged=True))
    return found


def counted_for(parts: Parts, order_id: str) -> tuple[str, ...]:
    """The customers for whom the order counts."""
    customer_id = parts.customers.counted.get(order_id)
    return () if customer_id is None else (customer_id,)


def _customers(parts: Parts, at_rest: bool) -> tuple[CustomerFacts, ...]:
    known = parts.customers
    counted = Counter(known.counted.values())
    names = dict.fromkeys((*known.customers, *known.completed, *counted))
    return tuple(
        CustomerFacts(name, known.completed.get(name, 0), counted[name], tuple(_left_of(parts, name, at_rest)))
        for name in names
    )


def _left_of(parts: Parts, customer_id: str, at_rest: bool) -> Iterator[str]:
    customer = parts.customers.customers.get(customer_id)
    if customer is None or customer.erased_at is None:
        return
    if customer.name or customer.email:
        yield "customer"
    answers = parts.customers.answers.values()
    if any(isinstance(told, CustomerRegistered) and told.customer_id == customer_id for told in answers):
        yield "answer"
    contact = parts.notification.contacts.get(customer_id)
    if at_rest and contact is not None and (contact.name or contact.email):
        yield "contact"


def stock_row(row: Stock) -> StockRow:
    """Inventory's row of a SKU."""
    return StockRow(row.received, row.adjusted, row.on_hand, row.held, row.shipped)


def _stock(parts: Parts) -> tuple[StockFacts, ...]:
    sums: dict[str, Counter[str]] = {"held": Counter(), "shipped": Counter()}
    for reservation in parts.inventory.reservations.values():
        for line in reservation.lines if reservation.state in sums else ():
            sums[reservation.state][line.sku] += line.quantity
    receipts: Counter[str] = Counter()
    adjustments: Counter[str] = Counter()
    for answer in parts.inventory.answers.values():
        if isinstance(answer, StockReceived):
            receipts[answer.sku] += answer.quantity
        elif isinstance(answer, StockAdjusted):
            adjustments[answer.sku] += answer.delta
    return tuple(
        StockFacts(
            sku=row.sku,
            row=stock_row(row),
            held_in_lines=sums["held"][row.sku],
            shipped_in_lines=sums["shipped"][row.sku],
            receipts=receipts[row.sku],
            adjustments=adjustments[row.sku],
        )
        for row in parts.inventory.stock.values()
    )


def _irregularities(parts: Parts) -> Iterable[Irregularity]:
    for found in parts.inventory.irregularities.values():
        yield Irregularity(found.order_id, found.reservation_id, found.kind, found.state)


def _partitions(parts: Parts, clock: Clock, partitions: int) -> Iterable[PartitionFacts]:
    now = clock.now()
    for service, part in parts.of.items():
        database = part.database
        for number in range(partitions):
            owned = database.ownership.get(number)
            published = 0 if owned is None else owned.published_seq
            waiting = [
                OutboxRow(seq, wire.topic, wire.type, at)
                for seq, (at, wire) in sorted(database.outbox[number].items())
                if seq > published
            ]
            timers = [Timer(t.key, t.name, t.due_at) for (p, _, _), t in database.timers.items() if p == number]
            # When a call was asked for is not kept in memory: some time ago.
            ago = now - timedelta(microseconds=1)
            effects = [Effect(e.id, e.key, e.kind, ago) for (p, _), e in database.effects.items() if p == number]
            yield PartitionFacts(
                service,
                number,
                now,
                tuple(waiting),
                tuple(timers),
                tuple(effects),
                parked_keys(service, part.database, number),
            )


def parked_keys(service: str, database: MemoryDatabase, partition: int) -> tuple[ParkedKey, ...]:
    """The lanes of a service's partition."""
    found: dict[str, list[Parked]] = {}
    for (owner, _), row in sorted(database.parked.items()):
        if owner == partition:
            found.setdefault(row.key, []).append(row)
    heads = {key: rows[0].record for key, rows in found.items()}
    return tuple(
        ParkedKey(
            key,
            len(rows),
            heads[key].topic,
            heads[key].offset,
            rows[0].error,
            Letter(service, heads[key].topic, partition, heads[key].offset) in database.letters,
        )
        for key, rows in found.items()
    )


def money_of(orders: Iterable[OrderFacts]) -> tuple[MoneyFacts, ...]:
    """Each party's own sums over all orders that are not open and were not settled by hand."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for order in orders:
        row = order.row
        if order.parked_at or (row is not None and not row.ended) or settled_by_hand(order.history):
            continue
        if row is not None and row.status == "COMPLETED" and row.currency is not None:
            sums[row.currency]["completed"] += row.total_minor or 0
        for charge in order.charges:
            if charge.currency is not None:
                sums[charge.currency]["captured"] += charge.captured_minor
                sums[charge.currency]["refunded"] += charge.refunded_minor
        for entry in order.entries:
            sums[entry.currency][f"gateway-{entry.kind}"] += entry.amount_minor
    return tuple(
        MoneyFacts(currency, s["completed"], s["captured"], s["refunded"], s["gateway-charge"], s["gateway-refund"])
        for currency, s in sorted(sums.items())
    )
