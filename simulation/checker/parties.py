"""The decisions of all parties, each made once: the production code's own pure functions, asked with what a world holds.

Everything goes in and comes out as numbers (`values.Numbers`). A decision that was made before is looked up, which is sound for the
very reason that decisions are pure: the same state, message and time always decide the same.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from audit.rules.workflow import ATTEMPTS
from contracts.customer import LookUpCustomer
from contracts.envelope import InvalidCommand
from contracts.registry import TYPE_OF
from contracts.topics import (
    CUSTOMER_COMMANDS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    ORDERS_EVENTS,
    PAYMENT_COMMANDS,
    RECOMMENDATION_COMMANDS,
)
from contracts.values import DEFAULT_CURRENCY
from messaging.decision import Decision, EffectDone, Message, Note, Outgoing, SetTimer, TimerFired
from services.customer import domain as customer
from services.inventory.domain import decide as inventory_decides
from services.inventory.ledger import Ledger, Stock, Sweep
from services.orders.domain import View
from services.orders.domain import decide as order_decides
from services.orders.handlers import REPLIES
from services.payment.domain import decide as payment_decides
from services.recommendation.domain import decide as recommendation_decides
from simulation.checker import canon
from simulation.checker.cells import Cells
from simulation.checker.gateway import Gate, UnderWay, begun, crashed, recorded, turns
from simulation.checker.values import NOW, Numbers
from simulation.checker.world import CUSTOMER, KEY, Buyers, Known, Payments, Record, Room, Scenario, Told

#: Records, by their numbers, in their order.
Records = tuple[int, ...]


class Ordered(NamedTuple):
    """What a decision of the orchestrator comes to: what it knows then, what it told, and the records for each reader."""

    known: int
    told: int
    to_inventory: Records
    to_payment: Records
    to_customer: Records
    to_recommendation: Records
    completed: Records


class Parties:
    """See the module. `cells` counts which cells of the parties' tables are reached."""

    def __init__(self, scenario: Scenario, numbers: Numbers, cells: Cells) -> None:
        self.numbers = numbers
        self.values = numbers.values
        self.nothing: Final = numbers(())
        self._scenario = scenario
        self._cells = cells
        self._memo: dict[tuple[Any, ...], Any] = {}

    def untouched(self) -> tuple[int, int]:
        """The gateway and what is under way with it before anything was asked of it."""
        return self.numbers(Gate()), self.numbers(UnderWay())

    # --- orders -------------------------------------------------------------------------------------------------------

    def order(self, known: int, record: int) -> Ordered:
        """The orchestrator reads a record, or its timer fires."""
        found = self._memo.get(("order", known, record))
        if found is None:
            found = self._memo["order", known, record] = self._order(self.values[known], self.values[record])
        return found

    def _order(self, known: Known, record: Record) -> Ordered:
        self._cells.order(known, record)
        view = View(known.order, {(v.command.source, v.command.id): v for v in known.verdicts})
        decision = order_decides(view, _message(record), NOW, self._scenario.policies)
        timer = None if isinstance(record.data, TimerFired) else known.timer
        for change in decision.timers:
            timer = change.due_at if isinstance(change, SetTimer) else None
        verdicts = tuple(sorted(decision.state.verdicts.values(), key=lambda v: (v.command.source, v.command.id)))
        after = canon.known(Known(decision.state.order, verdicts, timer))
        by_topic: dict[str, list[int]] = {}
        told: list[Any] = []
        for said in decision.says:
            if isinstance(said, Note):
                told.extend([said.type] if said.type in ATTEMPTS else [])
                continue
            topic, named = TYPE_OF[type(said.data)]
            if topic != ORDERS_EVENTS:
                by_topic.setdefault(topic, []).append(self._record(said.data, "orders"))
                continue
            told.append((named, said.data))
            if named == "orders.order-completed.v1":
                by_topic.setdefault(topic, []).append(self._record(said.data, "orders"))
        topics = (INVENTORY_COMMANDS, PAYMENT_COMMANDS, CUSTOMER_COMMANDS, RECOMMENDATION_COMMANDS, ORDERS_EVENTS)
        sent = [tuple(by_topic.get(topic, ())) for topic in topics]
        return Ordered(self.numbers(after), self.numbers(tuple(told)), *sent)

    def tell(self, told: int, said: int) -> int:
        """The history, with what is told now."""
        if said == self.nothing:
            return told
        found = self._memo.get(("tell", told, said))
        if found is None:
            after: Told = self.values[told]
            for one in self.values[said]:
                after = canon.tell(after, one)
            found = self._memo["tell", told, said] = self.numbers(after)
        return int(found)

    # --- inventory ----------------------------------------------------------------------------------------------------

    def inventory(self, stock: int, room: int, record: int) -> tuple[int, int, Records]:
        """Inventory reads a record, or the sweep's timer fires: stock, what it knows, and its events."""
        found = self._memo.get(("inventory", stock, room, record))
        if found is None:
            found = self._inventory(self.values[stock], self.values[room], self.values[record])
            self._memo["inventory", stock, room, record] = found
        return found

    def _inventory(self, stock: tuple[Stock, ...], room: Room, record: Record) -> tuple[int, int, Records]:
        self._cells.inventory(room, record)
        rows = {row.sku: row for row in stock}
        reservations = {row.key: row for row in room.reservations}
        sweep, timer = Sweep(0, room.armed_for), room.timer
        if isinstance(record.data, TimerFired):
            # As the handler looks it up: what is over by the time that the timer was set for, and what comes after that.
            due_at = record.data.due_at
            announced = [(r.announce_at, r.key) for r in room.reservations if r.state == "held" and r.announce_at]
            due = tuple(key for at, key in sorted(announced) if at <= due_at)
            sweep = Sweep(0, due_at, due, min((at for at, _ in announced if at > due_at), default=None))
            timer = None
        ledger = Ledger(rows, reservations, {}, {}, sweep)
        decision = inventory_decides(ledger, _message(record), NOW, DEFAULT_CURRENCY)
        changes = decision.state
        for change in decision.timers:
            timer = change.due_at if isinstance(change, SetTimer) else None
        notes = tuple(
            (said.type, str(said.data["reservation_id"]), str(said.data["state"]))
            for said in decision.says
            if isinstance(said, Note)
        )
        after = Room(
            tuple({**reservations, **changes.reservations}.values()),
            (sweep if changes.sweep is None else changes.sweep).armed_for,
            timer,
            tuple(dict.fromkeys((*room.irregular, *notes))),
        )
        kept = tuple({**rows, **changes.stock}.values())
        return self.numbers(kept), self.numbers(canon.room(after)), self._said(decision, "inventory", INVENTORY_EVENTS)

    # --- payment ------------------------------------------------------------------------------------------------------

    def payment(self, payments: int, under_way: int, record: int) -> tuple[int, int, Records]:
        """Payment reads a record, a call's outcome or a timer: what it knows, what is under way, and its events."""
        found = self._memo.get(("payment", payments, record))
        if found is None:
            found = self._payment(self.values[payments], self.values[record])
            self._memo["payment", payments, record] = found
        after, effects, says = found
        return after, under_way if effects == self.nothing else self._begun(under_way, effects), says

    def _payment(self, payments: Payments, record: Record) -> tuple[int, int, Records]:
        self._cells.payment(payments, record)
        decision = payment_decides(payments.charge, _message(record), NOW)
        timers = {timer.name: timer for timer in payments.timers}
        if isinstance(record.data, TimerFired):
            timers.pop(record.data.name, None)
        timers.update({timer.name: timer for timer in decision.timers if isinstance(timer, SetTimer)})
        after = Payments(decision.state, tuple(timers.values()))
        says = self._said(decision, "payment", None)
        return self.numbers(after), self.numbers(decision.effects), says

    def _begun(self, under_way: int, effects: int) -> int:
        found = self._memo.get(("begun", under_way, effects))
        if found is None:
            going = begun(self.values[under_way], self.values[effects], NOW)
            found = self._memo["begun", under_way, effects] = self.numbers(going)
        return int(found)

    def turns(self, gate: int, under_way: int, faulty: bool) -> tuple[tuple[str, int, int, int, bool], ...]:
        """What may happen between the calls under way and the gateway: name, gateway, what is under way then, faults, broken."""
        found = self._memo.get(("turns", gate, under_way, faulty))
        if found is None:
            found = tuple(
                (turn.name, self.numbers(canon.gate(turn.gate)), self.numbers(turn.under_way), turn.faults, turn.broken)
                for turn in turns(self.values[gate], self.values[under_way], NOW, faulty)
            )
            self._memo["turns", gate, under_way, faulty] = found
        return found

    def outcomes(self, under_way: int) -> tuple[tuple[int, int], ...]:
        """The outcomes that wait to be recorded, each with what is under way without it."""
        found = self._memo.get(("outcomes", under_way))
        if found is None:
            waiting: UnderWay = self.values[under_way]
            found = tuple(
                (self._record(done, "payment"), self.numbers(recorded(waiting, done))) for done in waiting.outcomes
            )
            self._memo["outcomes", under_way] = found
        return found

    def crashed(self, under_way: int) -> int:
        """What is under way after payment has crashed."""
        found = self._memo.get(("crashed", under_way))
        if found is None:
            found = self._memo["crashed", under_way] = self.numbers(crashed(self.values[under_way], KEY, NOW))
        return int(found)

    # --- customer, recommendation -------------------------------------------------------------------------------------

    def customer(self, buyers: int, record: int) -> tuple[int, Records]:
        """The customer service reads a record: what it knows, and its events."""
        found = self._memo.get(("customer", buyers, record))
        if found is None:
            known: Buyers = self.values[buyers]
            message = _message(self.values[record])
            someone = customer.Customer(CUSTOMER, "Ann", "ann@example.org", NOW, NOW)
            registered = self._scenario.known_customer or not isinstance(message.data, LookUpCustomer)
            before = customer.State(someone if registered else None, None, known.completed, known.counted)
            decision = customer.decide(before, message, NOW)
            after = Buyers(decision.state.completed_orders, decision.state.counted)
            found = self.numbers(after), self._said(decision, "customer", None)
            self._memo["customer", buyers, record] = found
        return found

    def recommendation(self, record: int) -> Records:
        """The recommendation service reads a question: its answer."""
        found = self._memo.get(("recommendation", record))
        if found is None:
            decision = recommendation_decides({}, _message(self.values[record]))
            found = self._memo["recommendation", record] = self._said(decision, "recommendation", None)
        return found

    # ------------------------------------------------------------------------------------------------------------------

    def _said(self, decision: Decision[Any], source: str, only: str | None) -> Records:
        """The events that somebody here reads."""
        said = [one.data for one in decision.says if isinstance(one, Outgoing)]
        return tuple(self._record(data, source) for data in said if only is None or TYPE_OF[type(data)][1] in REPLIES)

    def _record(self, data: Any, source: str) -> int:
        return self.numbers(Record(data, type_of(data), source, NOW))


def type_of(data: Any) -> str:
    """A message's type as the runtime names it."""
    if isinstance(data, InvalidCommand):
        return data.command_type
    if isinstance(data, TimerFired | EffectDone):
        return type(data).__name__
    return TYPE_OF[type(data)][1]


def _message(record: Record) -> Message:
    return Message(type_of(record.data), KEY, record.data, record.id, record.source, record.at, record.id)


def fired(name: str, step: int, due_at: Any) -> Record:
    """A timer as a record."""
    return Record(TimerFired(name, step, due_at), "TimerFired", "timer", due_at)
