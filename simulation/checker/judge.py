"""What has to be true of a world: the audit's rules, as far as one moment can be judged by them; what only a model sees, because it
sees all parties at the same moment; and where nothing is under way any more, all of the audit's rules, with everything ended.

What is judged follows from a few of a world's numbers, so each combination is judged once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from audit.facts import (
    CommandRow,
    CommonFacts,
    GatewayEntry,
    HistoryEntry,
    Irregularity,
    OrderFacts,
    Published,
    SentCommand,
    StockFacts,
    StockRow,
)
from audit.facts import Reservation as ReservationFact
from audit.fold import settled_by_hand
from audit.rules import Breach, Terms, check, check_common, check_order
from services.inventory.ledger import Stock
from services.orders.domain.state import Order, Phase
from simulation.checker.gateway import Gate, money
from simulation.checker.groups import Groups
from simulation.checker.steps import WIDTH, World
from simulation.checker.values import NOW
from simulation.checker.world import KEY, Desk, Known, Part, Payments, Room, Till, Told
from simulation.facts import charge_of, lines_of, money_of, order_row

_ENDED: Final = Terms(grace_s=float(10**9), expect_ended=True)
_CANCELS: Final = frozenset({"orders.cancel-order.v1", "orders.cancel-by-operator.v1"})

Problems = tuple[str, ...]
K = TypeVar("K")


class Judge:
    """See the module."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._values = groups.parties.numbers.values
        self._desks: dict[int, Problems] = {}
        self._tills: dict[int, Problems] = {}
        self._stocks: dict[tuple[int, ...], Problems] = {}
        self._ends: dict[int, tuple[Phase, int | None] | None] = {}
        self._moved: dict[int, frozenset[str]] = {}

    def moment(self, world: World) -> Problems:
        """What is wrong with a world, whatever is under way in it."""
        found: Problems = ()
        for at in range(2, len(world), WIDTH):
            desk, store, till = world[at : at + 3]
            found += self._once(self._desks, desk, self._desk)
            found += self._once(self._tills, till, self._till)
            found += self._part(desk, store, till)
        return found + self._once(self._stocks, (world[1], *world[3::WIDTH]), self._stock)

    @staticmethod
    def _once(memo: dict[K, Problems], key: K, rule: Callable[[K], Problems]) -> Problems:
        found = memo.get(key)
        if found is None:
            found = memo[key] = rule(key)
        return found

    def rest(self, world: World) -> Problems:
        """What is wrong with a world in which nothing is under way."""
        parts = [self._groups.open(world[at : at + WIDTH]) for at in range(2, len(world), WIDTH)]
        orders = [self._facts(part) for part in parts]
        stocks = _stock(self._values[world[1]], [self._values[part.store.room] for part in parts])
        return _told(check(orders, CommonFacts(stock=stocks, money=money_of(orders)), _ENDED))

    # --- at every moment ----------------------------------------------------------------------------------------------

    def _desk(self, number: int) -> Problems:
        desk: Desk = self._groups.desks.values[number]
        known: Known = self._values[desk.known]
        found = _told(check_order(_order_facts(known, self._values[desk.told])))
        accepted = any(v.accepted and v.command.type in _CANCELS for v in known.verdicts)
        if accepted and known.order is not None and known.order.phase in {Phase.COMPLETED, Phase.FAILED}:
            found += (f"accepted-cancellation-ends-cancelled: it ended {known.order.phase}",)
        return found

    def _till(self, number: int) -> Problems:
        till: Till = self._groups.tills.values[number]
        known, at_gateway = self._values[till.payments], self._values[till.gate]
        found = list(_told(check_order(OrderFacts(KEY, at_rest=False, **_money_facts(known, at_gateway)))))
        taken, given = money(at_gateway, NOW)
        charge = known.charge
        if charge is not None and not (charge.captured_minor <= taken and charge.refunded_minor <= given):
            found.append(
                f"payment-tells-what-was-moved: {charge.captured_minor} captured and {charge.refunded_minor} refunded on record, "
                f"{taken} and {given} at the gateway"
            )
        return tuple(found)

    def _part(self, desk: int, store: int, till: int) -> Problems:
        """An order that has ended has what it says, at that very moment: the money and the stock, or neither."""
        if desk not in self._ends:
            self._ends[desk] = self._end_of(self._groups.desks.values[desk])
        if store not in self._moved:
            room: Room = self._values[self._groups.stores.values[store].room]
            self._moved[store] = frozenset(row.state for row in room.reservations)
        end, moved = self._ends[desk], self._moved[store]
        if end is None:
            return ("shipped-is-completed: stock is shipped before the order has ended",) if "shipped" in moved else ()
        phase, total = end
        found = []
        if phase is Phase.COMPLETED:
            taken, given = money(self._values[self._groups.tills.values[till].gate], NOW)
            if taken - given != total:
                found.append(f"completed-is-paid: {taken - given} of {total} at the gateway when it completed")
        else:
            found += [f"ended-holds-nothing: {phase}, and stock is {state}" for state in moved & {"held", "shipped"}]
        return tuple(found)

    def _end_of(self, desk: Desk) -> tuple[Phase, int | None] | None:
        """How an order has ended; None for one that is open, a greeting, and one that was settled by hand."""
        order: Order | None = self._values[desk.known].order
        if order is None or not order.ended or order.workflow != "order":
            return None
        if settled_by_hand(_history(self._values[desk.told])):
            return None
        return order.phase, order.total_minor

    def _stock(self, key: tuple[int, ...]) -> Problems:
        stock, *stores = key
        rooms: list[Room] = [self._values[self._groups.stores.values[store].room] for store in stores]
        irregular = tuple(
            Irregularity(KEY, reservation_id, kind, state)
            for room in rooms
            for kind, reservation_id, state in room.irregular
        )
        return _told(check_common(CommonFacts(stock=_stock(self._values[stock], rooms), irregularities=irregular)))

    # --- where nothing is under way -----------------------------------------------------------------------------------

    def _facts(self, part: Part) -> OrderFacts:
        values, desk, till = self._values, part.desk, part.till
        sent = tuple(SentCommand("client", name, name, acknowledged=True) for name in values[desk.sent])
        return _order_facts(
            values[desk.known],
            values[desk.told],
            at_rest=True,
            reservations=_reservations(values[part.store.room]),
            sent=sent,
            **_money_facts(values[till.payments], values[till.gate]),
        )


def _order_facts(known: Known, told: Told, *, at_rest: bool = False, **others: Any) -> OrderFacts:
    history = _history(told)
    published = tuple(
        Published(entry.event_id, entry.type, entry.seq, 0, entry.seq) for entry in history if entry.event_id
    )
    commands = tuple(
        CommandRow(v.command.source, v.command.id, v.command.type, v.accepted, v.reason) for v in known.verdicts
    )
    return OrderFacts(
        order_id=KEY,
        row=None if known.order is None else order_row(known.order),
        history=history,
        commands=commands,
        timers=() if known.timer is None else (known.timer,),
        published=published,
        at_rest=at_rest,
        **others,
    )


def _history(told: Told) -> tuple[HistoryEntry, ...]:
    """The history that the rules read: verdicts stand where they may stand."""
    entries = [(named, data.model_dump(mode="json")) for named, data in told.events]
    verdicts = [
        (named, {"command_id": name, "command_type": kind, "reason": reason, "duplicate": again})
        for named, name, kind, reason, again in sorted(told.verdicts, key=str)
    ]
    rows = [*entries[:1], *verdicts, *entries[1:]]
    found = [HistoryEntry(seq, named, f"event {seq}", data) for seq, (named, data) in enumerate(rows, 1)]
    if told.last_attempt is not None:
        found.append(HistoryEntry(len(found) + 1, told.last_attempt, None, {}))
    return tuple(found)


def _money_facts(payments: Payments, gate: Gate) -> dict[str, Any]:
    charges = () if payments.charge is None else (charge_of(payments.charge),)
    entries = []
    row = gate.row
    taken, _ = money(gate, NOW)
    if taken and row is not None and row.request is not None:
        entries.append(GatewayEntry("charge", row.charge_id, taken, row.request.currency))
    for refund in gate.refunds:
        if refund.refunded_at is not None:
            asked = refund.request
            entries.append(GatewayEntry("refund", asked.charge_id, asked.amount_minor, asked.currency, asked.refund_id))
    return {"charges": charges, "entries": tuple(entries)}


def _reservations(room: Room) -> tuple[ReservationFact, ...]:
    return tuple(
        ReservationFact(row.reservation_id, row.state, lines_of(row.lines), row.currency) for row in room.reservations
    )


def _stock(rows: Iterable[Stock], rooms: list[Room]) -> tuple[StockFacts, ...]:
    sums: dict[str, Counter[str]] = {"held": Counter(), "shipped": Counter()}
    for room in rooms:
        for reservation in room.reservations:
            for line in reservation.lines if reservation.state in sums else ():
                sums[reservation.state][line.sku] += line.quantity
    return tuple(
        StockFacts(
            row.sku,
            StockRow(row.received, row.adjusted, row.on_hand, row.held, row.shipped),
            held_in_lines=sums["held"][row.sku],
            shipped_in_lines=sums["shipped"][row.sku],
            receipts=row.received,
            adjustments=row.adjusted,
        )
        for row in rows
    )


def _told(breaches: Iterable[Breach]) -> Problems:
    return tuple(_lines(breaches))


def _lines(breaches: Iterable[Breach]) -> Iterator[str]:
    for breach in breaches:
        about = f" ({breach.about})" if breach.about else ""
        yield f"{breach.rule}{about}: expected {breach.expected}, found {breach.found}"
