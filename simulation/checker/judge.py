"""What has to be true of a world: the audit's rules, as far as one moment can be judged by them; what only a model sees, because it
sees all parties at the same moment; and where nothing is under way any more, all of the audit's rules, with everything ended.

What is judged follows from a few of a world's numbers, so each combination is judged once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

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
from services.orders.domain.state import Phase
from simulation.checker.gateway import Gate, money
from simulation.checker.values import NOW, Numbers
from simulation.checker.world import (
    GATE,
    KEY,
    KNOWN,
    PAYMENTS,
    ROOM,
    SENT,
    TOLD,
    Known,
    Payments,
    Room,
    Told,
)
from simulation.facts import charge_of, lines_of, money_of, order_row

_ENDED: Final = Terms(grace_s=float(10**9), expect_ended=True)
_UNHAPPY: Final = frozenset({Phase.CANCELLED, Phase.FAILED})
_CANCELS: Final = frozenset({"orders.cancel-order.v1", "orders.cancel-by-operator.v1"})

Problems = tuple[str, ...]


class Judge:
    """See the module."""

    def __init__(self, numbers: Numbers) -> None:
        self._values = numbers.values
        self._memo: dict[tuple[int, ...], Problems] = {}

    def moment(self, stock: int, parts: list[list[int]]) -> Problems:
        """What is wrong with a world, whatever is under way in it."""
        memo, found = self._memo, ()
        for rows in parts:
            known, told, room, payments, gate = rows[KNOWN], rows[TOLD], rows[ROOM], rows[PAYMENTS], rows[GATE]
            for key, rule in (
                ((0, known, told), self._order),
                ((1, payments, gate), self._money),
                ((2, known, told, room, gate), self._ended),
            ):
                problems = memo.get(key)
                if problems is None:
                    problems = memo[key] = rule(*key[1:])
                found += problems
        key = (3, stock, *(rows[ROOM] for rows in parts))
        problems = memo.get(key)
        if problems is None:
            problems = memo[key] = self._stock(*key[1:])
        return found + problems

    def rest(self, stock: int, parts: list[list[int]]) -> Problems:
        """What is wrong with a world in which nothing is under way."""
        orders = [self._facts(rows, at_rest=True) for rows in parts]
        values = self._values
        stocks = _stock(values[stock], [values[rows[ROOM]] for rows in parts])
        common = CommonFacts(stock=stocks, money=money_of(orders))
        return _told(check(orders, common, _ENDED))

    # --- at every moment ----------------------------------------------------------------------------------------------

    def _order(self, known: int, told: int) -> Problems:
        order, history = self._values[known], self._values[told]
        return _told(check_order(_order_facts(order, history)))

    def _money(self, payments: int, gate: int) -> Problems:
        known, at_gateway = self._values[payments], self._values[gate]
        found = list(_told(check_order(OrderFacts(KEY, at_rest=False, **_money_facts(known, at_gateway)))))
        taken, given = money(at_gateway, NOW)
        charge = known.charge
        if charge is not None and not (charge.captured_minor <= taken and charge.refunded_minor <= given):
            found.append(
                f"payment-tells-what-was-moved: {charge.captured_minor} captured and {charge.refunded_minor} refunded on record, "
                f"{taken} and {given} at the gateway"
            )
        return tuple(found)

    def _ended(self, known: int, told: int, room: int, gate: int) -> Problems:
        """An order that has ended has what it says, at that very moment: the money and the stock, or neither."""
        order = self._values[known].order
        history = _history(self._values[told])
        if order is None or order.workflow != "order":
            return ()
        found = []
        taken, given = money(self._values[gate], NOW)
        accepted = any(v.accepted and v.command.type in _CANCELS for v in self._values[known].verdicts)
        if accepted and order.phase in {Phase.COMPLETED, Phase.FAILED}:
            found.append(f"accepted-cancellation-ends-cancelled: it ended {order.phase}")
        if settled_by_hand(history):
            return tuple(found)
        rows = self._values[room].reservations
        if order.phase is Phase.COMPLETED and taken - given != order.total_minor:
            found.append(f"completed-is-paid: {taken - given} of {order.total_minor} at the gateway when it completed")
        if order.phase in _UNHAPPY and any(row.state == "held" for row in rows):
            found.append(f"ended-holds-nothing: {order.phase} while stock is held")
        if any(row.state == "shipped" for row in rows) and order.phase is not Phase.COMPLETED:
            found.append(f"shipped-is-completed: {order.phase} while stock is shipped")
        return tuple(found)

    def _stock(self, stock: int, *rooms: int) -> Problems:
        found: list[Room] = [self._values[room] for room in rooms]
        irregular = tuple(
            Irregularity(KEY, reservation_id, kind, state)
            for room in found
            for kind, reservation_id, state in room.irregular
        )
        return _told(check_common(CommonFacts(stock=_stock(self._values[stock], found), irregularities=irregular)))

    # --- where nothing is under way -----------------------------------------------------------------------------------

    def _facts(self, rows: list[int], at_rest: bool) -> OrderFacts:
        values = self._values
        known, told, room = values[rows[KNOWN]], values[rows[TOLD]], values[rows[ROOM]]
        sent = tuple(SentCommand("client", name, name, acknowledged=True) for name in values[rows[SENT]])
        return _order_facts(
            known,
            told,
            at_rest=at_rest,
            reservations=_reservations(room),
            sent=sent,
            **_money_facts(values[rows[PAYMENTS]], values[rows[GATE]]),
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
