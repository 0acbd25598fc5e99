"""Looks after every step whether a promise is broken, at what the step has touched; and in the end, at everything. The promises
are the audit's: this module only knows when to ask for which, and whose facts they need."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from audit.facts import OUTCOMES, CommonFacts, HistoryEntry, Irregularity, OrderFacts, Published, StockFacts
from audit.rules import Breach, check_common, check_order
from contracts.envelope import decode_event, event_type
from contracts.inventory import StockAdjusted, StockReceived
from contracts.topics import ORDERS_EVENTS
from simulation import facts as read
from simulation.campaign.faults import Faults
from simulation.kit.promises import broken_promises, told
from simulation.system import UNFINISHED, System


class Judge:
    """What it has read of each order it keeps, so that it reads only what is new."""

    def __init__(self, system: System, faults: Faults) -> None:
        self._system = system
        self._faults = faults
        self._history: dict[str, list[HistoryEntry]] = defaultdict(list)
        self._outcomes: dict[str, list[Published]] = defaultdict(list)
        self._records_read = 0
        self._stock = StockRoom(system)

    def look(self) -> list[str]:
        """What is broken of what was touched since the last look, in words."""
        touched = self._faults.touched
        if not touched:
            return []
        breaches: list[Breach] = []
        if self._records_read < len(self._system.broker.journal):
            self._read_outcomes()
        for order_id in {**touched.get("orders", {}), **touched.get("told", {})}:
            breaches += check_order(self._workflow(order_id), UNFINISHED)
        for order_id in touched.get("payment", ()):
            breaches += check_order(self._money(order_id), UNFINISHED)
        if "inventory" in touched:
            breaches += check_common(self._stock.changed(touched["inventory"]), UNFINISHED)
        touched.clear()
        return [*self._faults.mistakes, *(told(breach) for breach in breaches)]

    def in_the_end(self) -> list[str]:
        """What is broken at rest, in words. After a power cut an event that was lost may stand behind a later one of its order:
        what found the loss was that one's publication (docs/guarantees.md, "What is not promised")."""
        tally = self._faults.tally
        read_again = any(tally[kind] for kind in ("replay-topic", "power-cut"))
        found = broken_promises(self._system, read_again=read_again)
        return [told for told in found if not (tally["power-cut"] and told.startswith("sequence-rises:"))]

    def _read_outcomes(self) -> None:
        journal = self._system.broker.journal
        for record in islice(journal, self._records_read, None):
            if record.topic == ORDERS_EVENTS:
                named = event_type(record.value, record.headers)
                if named in OUTCOMES:
                    event = decode_event(named, record.value)
                    seen = Published(event.id, named, event.sequence, record.partition, record.offset)
                    self._outcomes[event.subject].append(seen)
                    self._faults.touched["told"][event.subject] = None
        self._records_read = len(journal)

    def _workflow(self, order_id: str) -> OrderFacts:
        parts, history = self._system.parts, self._history[order_id]
        entries = parts.orders.history.get(order_id, ())
        history += [read.entry_of(entry) for entry in islice(entries, len(history), None)]
        latest = parts.orders.latest.get(order_id)
        return OrderFacts(
            order_id,
            row=None if latest is None else read.order_row(latest),
            history=tuple(history),
            commands=read.commands_of(parts, order_id),
            timers=read.timers_of(parts, order_id, self._system.broker.partitions),
            published=tuple(self._outcomes.get(order_id, ())),
            at_rest=False,
        )

    def _money(self, order_id: str) -> OrderFacts:
        parts, clock = self._system.parts, self._system.clock
        charges, entries = read.charges_of(parts, order_id), read.entries_of(parts, clock, order_id)
        return OrderFacts(order_id, charges=charges, entries=entries, at_rest=False)


class StockRoom:
    """Adds up, order by order, what is held and shipped of each SKU; and, answer by answer, what came in and was adjusted."""

    def __init__(self, system: System) -> None:
        self._tables = system.parts.inventory
        self._of_order: dict[str, list[str]] = defaultdict(list)
        self._counted: dict[str, Counter[tuple[str, str]]] = {}
        self._sums: Counter[tuple[str, str]] = Counter()
        self._reservations = self._answers = self._irregular = 0

    def changed(self, keys: Iterable[str]) -> CommonFacts:
        """The facts of every SKU that changed with these keys: orders, or SKUs themselves."""
        skus = dict.fromkeys(key for key in keys if key in self._tables.stock)
        for order_id, reservation_id in islice(self._tables.reservations, self._reservations, None):
            self._of_order[order_id].append(reservation_id)
        self._reservations = len(self._tables.reservations)
        for key in keys:
            skus.update(dict.fromkeys(self._count(key)))
        for answer in islice(self._tables.answers.values(), self._answers, None):
            if isinstance(answer, StockReceived):
                self._sums["received", answer.sku] += answer.quantity
            elif isinstance(answer, StockAdjusted):
                self._sums["adjusted", answer.sku] += answer.delta
        self._answers = len(self._tables.answers)
        return CommonFacts(stock=tuple(self._facts(sku) for sku in skus), irregularities=tuple(self._new_irregular()))

    def _count(self, order_id: str) -> Iterator[str]:
        """Count an order's pieces anew. Tells the SKUs of which the number is another one now."""
        now: Counter[tuple[str, str]] = Counter()
        for reservation_id in self._of_order.get(order_id, ()):
            found = self._tables.reservations[order_id, reservation_id]
            if found.state in ("held", "shipped"):
                for line in found.lines:
                    now[found.state, line.sku] += line.quantity
        before = self._counted.get(order_id, Counter())
        for name in dict.fromkeys((*before, *now)):
            if now[name] != before[name]:
                self._sums[name] += now[name] - before[name]
                yield name[1]
        self._counted[order_id] = now

    def _facts(self, sku: str) -> StockFacts:
        sums = self._sums
        return StockFacts(
            sku=sku,
            row=read.stock_row(self._tables.stock[sku]) if sku in self._tables.stock else None,
            held_in_lines=sums["held", sku],
            shipped_in_lines=sums["shipped", sku],
            receipts=sums["received", sku],
            adjustments=sums["adjusted", sku],
        )

    def _new_irregular(self) -> Iterator[Irregularity]:
        for found in islice(self._tables.irregularities.values(), self._irregular, None):
            yield Irregularity(found.order_id, found.reservation_id, found.kind, found.state)
        self._irregular = len(self._tables.irregularities)
