"""What happens to one group of a world when somebody reads a record, worked out once for each group and record."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from simulation.checker.parties import Parties, Records
from simulation.checker.timing import Timing
from simulation.checker.values import Numbers
from simulation.checker.world import Buyers, Desk, Known, Part, Payments, Room, Store, Till, Told

#: A record that can be read next, and the group without it.
Head = tuple[int, int]


class Ordered(NamedTuple):
    """The desk after the orchestrator has decided, and what it published for the others. `says`: anything at all."""

    desk: int
    to_inventory: Records
    to_payment: Records
    completed: Records
    says: bool


class Groups:
    """See the module. Every group has its number among its like."""

    def __init__(self, parties: Parties) -> None:
        self.parties = parties
        self.timing = Timing(parties)
        self.desks, self.stores, self.tills = Numbers(), Numbers(), Numbers()
        self._numbers: Final = parties.numbers
        self._values: Final = parties.numbers.values
        self._nothing: Final = parties.nothing
        self._ordered: dict[tuple[int, int, int], Ordered] = {}
        self._stored: dict[tuple[int, int, int, int], tuple[int, int, bool]] = {}
        self._paid: dict[tuple[int, int, int], tuple[int, bool]] = {}
        self._filled_stores: dict[tuple[int, Records, Records], int] = {}
        self._filled_tills: dict[tuple[int, Records], int] = {}
        self._echoes: dict[tuple[int, int, int], int] = {}
        self._heads: dict[tuple[str, int], tuple[Head, ...]] = {}
        self._turns: dict[tuple[int, bool], tuple[tuple[str, int, int, bool], ...]] = {}
        self._due: dict[tuple[str, int], bool] = {}
        self._later: dict[tuple[str, int, timedelta], int] = {}

    def begin(self) -> tuple[int, ...]:
        """An order's part of the world before anything was asked."""
        number, empty = self._numbers, self._nothing
        desk = Desk(number(Known()), number(Told()), empty, number(Buyers()), empty, empty, empty)
        store = Store(number(Room()), empty, empty, empty)
        till = Till(number(Payments()), *self.parties.untouched(), empty, empty)
        return self.desks(desk), self.stores(store), self.tills(till), empty

    def open(self, part: tuple[int, ...]) -> Part:
        """An order's part of the world, to be looked at."""
        desk, store, till, echoes = part
        return Part(self.desks.values[desk], self.stores.values[store], self.tills.values[till], echoes)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def orders(self, desk: int, record: int, times: int = 1) -> Ordered:
        """The orchestrator reads a record and publishes what it says, once or, dying in between, twice."""
        found = self._ordered.get((desk, record, times))
        if found is None:
            found = self._ordered[desk, record, times] = self._orders(self.desks.values[desk], record, times)
        return found

    def _orders(self, desk: Desk, record: int, times: int) -> Ordered:
        parties = self.parties
        done = parties.order(desk.known, record)
        buyers, answers, recommended = desk.buyers, desk.from_customer, desk.from_recommendation
        # What is read at once, by those who answer the same whenever they read it.
        for asked in (*done.to_customer, *done.completed) * times:
            buyers, says = parties.customer(buyers, asked)
            answers = self._append(answers, says)
        for question in done.to_recommendation * times:
            recommended = self._append(recommended, parties.recommendation(question))
        after = desk._replace(
            known=done.known,
            told=parties.tell(desk.told, done.told),
            buyers=buyers,
            from_customer=answers,
            from_recommendation=recommended,
        )
        sent = (done.to_inventory * times, done.to_payment * times, done.completed * times)
        says_any = any((*sent, done.to_customer, done.to_recommendation))
        return Ordered(self.desks(after), *sent, says_any)

    def inventory(self, stock: int, store: int, record: int, times: int = 1) -> tuple[int, int, bool]:
        """Inventory reads a record: stock, store, and whether it said anything. It forgets what it had in memory if it dies."""
        key = stock, store, record, times
        found = self._stored.get(key)
        if found is None:
            before: Store = self.stores.values[store]
            stock, room, says = self.parties.inventory(stock, before.room, record)
            room = room if times == 1 else self.timing.reborn(room)
            after = before._replace(room=room, from_inventory=self._append(before.from_inventory, says * times))
            found = self._stored[key] = stock, self.stores(after), bool(says)
        return found

    def payment(self, till: int, record: int, times: int = 1) -> tuple[int, bool]:
        """Payment reads a record: till, and whether it said anything. Its calls begin anew if it dies."""
        found = self._paid.get((till, record, times))
        if found is None:
            before: Till = self.tills.values[till]
            payments, under_way, says = self.parties.payment(before.payments, before.under_way, record)
            under_way = under_way if times == 1 else self.parties.crashed(under_way)
            told = self._append(before.from_payment, says * times)
            after = before._replace(payments=payments, under_way=under_way, from_payment=told)
            found = self._paid[till, record, times] = self.tills(after), bool(says)
        return found

    def crash_store(self, store: int) -> int:
        """Inventory dies between two records."""
        before: Store = self.stores.values[store]
        return self.stores(before._replace(room=self.timing.reborn(before.room)))

    def crash_till(self, till: int) -> int:
        """Payment dies between two records."""
        before: Till = self.tills.values[till]
        return self.tills(before._replace(under_way=self.parties.crashed(before.under_way)))

    # --- topics -------------------------------------------------------------------------------------------------------

    def fill_store(self, store: int, asked: Records, completed: Records) -> int:
        """The store with what the orchestrator published."""
        if not asked and not completed:
            return store
        found = self._filled_stores.get((store, asked, completed))
        if found is None:
            before: Store = self.stores.values[store]
            after = before._replace(
                to_inventory=self._append(before.to_inventory, asked),
                completed=self._append(before.completed, completed),
            )
            found = self._filled_stores[store, asked, completed] = self.stores(after)
        return found

    def fill_till(self, till: int, asked: Records) -> int:
        """The till with what the orchestrator published."""
        if not asked:
            return till
        found = self._filled_tills.get((till, asked))
        if found is None:
            before: Till = self.tills.values[till]
            found = self.tills(before._replace(to_payment=self._append(before.to_payment, asked)))
            self._filled_tills[till, asked] = found
        return found

    def echo(self, echoes: int, reader: int, record: int) -> int:
        """What comes again, with this record too."""
        found = self._echoes.get((echoes, reader, record))
        if found is None:
            found = self._numbers(tuple(sorted((*self._values[echoes], (reader, record)))))
            self._echoes[echoes, reader, record] = found
        return found

    def desk_heads(self, desk: int) -> tuple[Head, ...]:
        """What the orchestrator can read next of what stands at its own desk."""
        return self._heads_of("desk", self.desks, desk, ("from_clients", "from_customer", "from_recommendation"))

    def store_heads(self, store: int) -> tuple[Head, ...]:
        """What inventory can read next."""
        return self._heads_of("store", self.stores, store, ("to_inventory", "completed"))

    def till_heads(self, till: int) -> tuple[Head, ...]:
        """What payment can read next."""
        return self._heads_of("till", self.tills, till, ("to_payment",))

    def from_store(self, store: int) -> tuple[Head, ...]:
        """What the orchestrator can read next from inventory."""
        return self._heads_of("from store", self.stores, store, ("from_inventory",))

    def from_till(self, till: int) -> tuple[Head, ...]:
        """What the orchestrator can read next from payment."""
        return self._heads_of("from till", self.tills, till, ("from_payment",))

    def outcomes(self, till: int) -> tuple[Head, ...]:
        """The outcomes of calls that payment can record next."""
        found = self._heads.get(("outcomes", till))
        if found is None:
            before: Till = self.tills.values[till]
            waiting = self.parties.outcomes(before.under_way)
            found = tuple((record, self.tills(before._replace(under_way=rest))) for record, rest in waiting)
            self._heads["outcomes", till] = found
        return found

    def turns(self, till: int, faulty: bool) -> tuple[tuple[str, int, int, bool], ...]:
        """What may happen between payment's calls and the gateway: name, till, faults that it takes, broken."""
        found = self._turns.get((till, faulty))
        if found is None:
            before: Till = self.tills.values[till]
            found = tuple(
                (name, self.tills(before._replace(gate=gate, under_way=under_way)), faults, broken)
                for name, gate, under_way, faults, broken in self.parties.turns(before.gate, before.under_way, faulty)
            )
            self._turns[till, faulty] = found
        return found

    def _heads_of(self, kind: str, groups: Numbers, group: int, fields: tuple[str, ...]) -> tuple[Head, ...]:
        found = self._heads.get((kind, group))
        if found is None:
            before, heads = groups.values[group], []
            for name in fields:
                queue = self._values[getattr(before, name)]
                if queue:
                    rest = self._numbers(queue[1:])
                    heads.append((queue[0], groups(before._replace(**{name: rest}))))
            found = self._heads[kind, group] = tuple(heads)
        return found

    def _append(self, queue: int, records: Records) -> int:
        return self._numbers((*self._values[queue], *records)) if records else queue

    def sent(self, desk: int, sent: int, unread: int | None) -> int:
        """The desk with what was sent to it; `unread`: the record stands on its topic."""
        before: Desk = self.desks.values[desk]
        queue = before.from_clients if unread is None else self._append(before.from_clients, (unread,))
        return self.desks(before._replace(sent=sent, from_clients=queue))

    # --- timers -------------------------------------------------------------------------------------------------------

    def is_due(self, kind: str, groups: Numbers, group: int) -> bool:
        """Whether a timer of the party that keeps this group is due (its own row stands first in it)."""
        found = self._due.get((kind, group))
        if found is None:
            found = self._due[kind, group] = bool(self.timing.due(groups.values[group][0]))
        return found

    def due_at_desk(self, desk: int, store: int, till: int) -> list[int]:
        """The orchestrator's timer, where it may fire: after everything that was appended before it was due."""
        known, *_, clients, customer, recommendation = self.desks.values[desk]
        store_says, till_says = self.stores.values[store].from_inventory, self.tills.values[till].from_payment
        return self._after((clients, customer, recommendation, store_says, till_says), known)

    def due_at_store(self, store: int) -> list[int]:
        """The sweep's timer, likewise."""
        found: Store = self.stores.values[store]
        return self._after((found.to_inventory, found.completed), found.room)

    def due_at_till(self, till: int) -> list[int]:
        """Payment's timers, likewise."""
        found: Till = self.tills.values[till]
        return self._after((found.to_payment,), found.payments)

    def _after(self, queues: tuple[int, ...], party: int) -> list[int]:
        return [timer for timer in self.timing.due(party) if not self.timing.earlier(queues, timer)]

    # --- time ---------------------------------------------------------------------------------------------------------

    def later(self, part: tuple[int, ...], passed: timedelta) -> tuple[int, ...]:
        """An order's part of the world after time has passed."""
        desk, store, till, echoes = part
        return (
            self._moved("desk", self.desks, desk, passed),
            self._moved("store", self.stores, store, passed),
            self._moved("till", self.tills, till, passed),
            self.timing.moved_echoes(echoes, passed),
        )

    def _moved(self, kind: str, groups: Numbers, group: int, passed: timedelta) -> int:
        found = self._later.get((kind, group, passed))
        if found is None:
            found = self._later[kind, group, passed] = groups(self.timing.moved_group(groups.values[group], passed))
        return found
