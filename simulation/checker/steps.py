"""Every next step of a world. A world is a tuple of numbers: what may still go wrong, the stock, and for each order four more.

Two orders share the stock, time and what may go wrong; each has its own topics, rows and calls, as if they were of two partitions.
So both are named alike, and a world in which they have changed places is the same world: every decision is given one order's own
rows and the stock, and nothing in them tells which of the two it is.

The customer and the recommendation service read at once: what they answer does not depend on when they are asked, and their answers
are read at any later time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from simulation.checker import clients
from simulation.checker.parties import Parties, Tuple
from simulation.checker.timing import Timing
from simulation.checker.world import (
    BUYERS,
    COMPLETED,
    ECHOES,
    FROM_CLIENTS,
    FROM_CUSTOMER,
    FROM_INVENTORY,
    FROM_PAYMENT,
    FROM_RECOMMENDATION,
    GATE,
    KNOWN,
    PAYMENTS,
    ROOM,
    SENT,
    TO_INVENTORY,
    TO_PAYMENT,
    TOLD,
    UNDER_WAY,
    Budget,
    Buyers,
    Known,
    Payments,
    Room,
    Scenario,
    Told,
)

World = tuple[int, ...]

READ_BY_ORDERS: Final = (FROM_CLIENTS, FROM_INVENTORY, FROM_PAYMENT, FROM_CUSTOMER, FROM_RECOMMENDATION)
READ_BY_INVENTORY: Final = (TO_INVENTORY, COMPLETED)
ORDERS, INVENTORY, PAYMENT = range(3)
NAMES: Final = ("orders", "inventory", "payment")
#: How many numbers an order has in a world.
WIDTH: Final = 4


class Step(NamedTuple):
    """One way to go on: what happens, with what (a number, or none), to which order; and the world after it."""

    what: str
    number: int
    order: int
    world: World


class Move(NamedTuple):
    """A step of one order: the rest of its world stands as it stood."""

    what: str
    number: int
    left: int
    stock: int
    part: Tuple


class Steps:
    """See the module."""

    def __init__(self, scenario: Scenario, parties: Parties) -> None:
        self.scenario = scenario
        self.parties = parties
        self.timing = Timing(parties)
        self._numbers = parties.numbers
        self._values = parties.values
        self._nothing = parties.nothing
        self._queues: dict[tuple[int, Tuple], int] = {}
        self._moves: dict[World, tuple[bool, list[Move]]] = {}

    def begin(self) -> World:
        """Nobody has asked for anything yet; the shop has its stock."""
        numbers, empty = self._numbers, self._nothing
        rows = [numbers(Known()), numbers(Told()), empty, numbers(Buyers()), empty, empty, empty]
        rows += [numbers(Room()), empty, empty, empty]
        rows += [numbers(Payments()), *self.parties.untouched(), empty, empty, empty]
        part = self._close(rows)
        stock = numbers(clients.stock(self.scenario))
        return (numbers(self.scenario.budget), stock, *part * self.scenario.orders)

    def open(self, world: World, order: int) -> list[int]:
        """An order's part of a world, number by number."""
        o, i, p, echoes = world[2 + order * WIDTH : 2 + (order + 1) * WIDTH]
        values = self._values
        return [*values[o], *values[i], *values[p], echoes]

    def _close(self, rows: list[int]) -> Tuple:
        numbers = self._numbers
        return (
            numbers(tuple(rows[:ROOM])),
            numbers(tuple(rows[ROOM:PAYMENTS])),
            numbers(tuple(rows[PAYMENTS:ECHOES])),
            rows[ECHOES],
        )

    # --- all of a world -----------------------------------------------------------------------------------------------

    def of(self, world: World) -> tuple[list[Step], bool]:
        """Every next step; and whether all is at rest, so that only a client or a crash could make one."""
        left, stock = world[:2]
        found: list[Step] = []
        busy = False
        for order in range(self.scenario.orders):
            works, moves = self._moves_of(world, order)
            busy = busy or works
            found += [self._step(move, order, world) for move in moves]
        time = list(self._time(world, left, stock, busy))
        return found + time, not busy and not time

    def _step(self, move: Move, order: int, world: World) -> Step:
        at = 2 + order * WIDTH
        after = (move.left, move.stock, *world[2:at], *move.part, *world[at + WIDTH :])
        return Step(move.what, move.number, order, after)

    def _moves_of(self, world: World, order: int) -> tuple[bool, list[Move]]:
        if self.scenario.orders == 1:
            return self._find_moves(world[0], world[1], self.open(world, 0))
        at = 2 + order * WIDTH
        key = (*world[:2], *world[at : at + WIDTH])
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = self._find_moves(world[0], world[1], self.open(world, order))
        return found

    def _time(self, world: World, left: int, stock: int, busy: bool) -> Iterator[Step]:
        """Time passes by itself where nobody has anything to do, and in haste where somebody has. Where an order waits for a
        person, one comes; only a call that is under way is still waited for."""
        budget: Budget = self._values[left]
        if busy and not budget.hastes:
            return
        parts = [self.open(world, order) for order in range(self.scenario.orders)]
        helps = [] if busy else [self._help(left, stock, rows) for rows in parts]
        for order, moves in enumerate(helps):
            yield from (self._step(move, order, world) for move in moves)
        passed = self.timing.next(parts)
        hasty = busy or (any(helps) and not self.timing.calls_under_way(parts))
        if passed is None or (hasty and not budget.hastes):
            return
        after = [self._close(self.timing.later(rows, passed)) for rows in parts]
        fewer = self._numbers(replace(budget, hastes=budget.hastes - 1)) if hasty else left
        name = "time passes, though there is something to do:" if hasty else "time passes:"
        yield Step(name, self._numbers(passed), -1, (fewer, stock, *(n for part in after for n in part)))

    def _help(self, left: int, stock: int, rows: list[int]) -> list[Move]:
        record = clients.helped(self._values[rows[KNOWN]])
        return [] if record is None else [self._read(ORDERS, left, stock, rows, self._numbers(record), "reads")]

    # --- one order ----------------------------------------------------------------------------------------------------

    def _find_moves(self, left: int, stock: int, rows: list[int]) -> tuple[bool, list[Move]]:
        moves: list[Move] = []
        for reader, fields in ((ORDERS, READ_BY_ORDERS), (INVENTORY, READ_BY_INVENTORY), (PAYMENT, (TO_PAYMENT,))):
            for field in fields:
                if rows[field] != self._nothing:
                    queue = self._values[rows[field]]
                    base = rows.copy()
                    base[field] = self._numbers(queue[1:])
                    moves += self._read_by(reader, left, stock, base, queue[0])
        moves += self._timers(left, stock, rows)
        moves += self._calls(left, stock, rows)
        if rows[ECHOES] != self._nothing:
            moves += self._repeats(left, stock, rows)
        busy = bool(moves)
        moves += self._crash(left, stock, rows)
        moves += self._clients(left, stock, rows)
        return busy, moves

    def _read_by(self, reader: int, left: int, stock: int, base: list[int], record: int) -> Iterator[Move]:
        """Somebody reads a record; it may come again later, and the reader may die before it is on record that it published."""
        name, values = NAMES[reader], self._values
        stock_after, after, says = self._decide(reader, stock, base, record, once=True)
        yield Move(f"{name} reads", record, left, stock_after, self._close(after))
        budget: Budget = values[left]
        if budget.duplicates:
            again = after.copy()
            again[ECHOES] = self._numbers(tuple(sorted((*values[after[ECHOES]], (reader, record)))))
            fewer = self._numbers(replace(budget, duplicates=budget.duplicates - 1))
            yield Move(f"{name} reads, and it will come again:", record, fewer, stock_after, self._close(again))
        if budget.crashes and says:
            stock_after, after, _ = self._decide(reader, stock, base, record, once=False)
            self._reborn(reader, after)
            fewer = self._numbers(replace(budget, crashes=budget.crashes - 1))
            yield Move(
                f"{name} reads, publishes, dies, publishes again:", record, fewer, stock_after, self._close(after)
            )

    def _read(self, reader: int, left: int, stock: int, base: list[int], record: int, how: str) -> Move:
        """The same, and nothing goes wrong."""
        stock_after, after, _ = self._decide(reader, stock, base, record, once=True)
        return Move(f"{NAMES[reader]} {how}", record, left, stock_after, self._close(after))

    def _decide(
        self, reader: int, stock: int, base: list[int], record: int, *, once: bool
    ) -> tuple[int, list[int], bool]:
        """The stock and the order's part after somebody has decided; whether anything was said. `once`: it is published once."""
        after = base.copy()
        parties, times = self.parties, 1 if once else 2
        if reader == ORDERS:
            done = parties.order(base[KNOWN], record)
            after[KNOWN], after[TOLD] = done.known, parties.tell(base[TOLD], done.told)
            for _ in range(times):
                self._publish_requests(after, done.to_customer, done.to_recommendation, done.completed)
                self._append(after, TO_INVENTORY, done.to_inventory)
                self._append(after, TO_PAYMENT, done.to_payment)
                self._append(after, COMPLETED, done.completed)
            return stock, after, any(done[2:])
        if reader == INVENTORY:
            stock, after[ROOM], says = parties.inventory(stock, base[ROOM], record)
            self._append(after, FROM_INVENTORY, says * times)
        else:
            after[PAYMENTS], after[UNDER_WAY], says = parties.payment(base[PAYMENTS], base[UNDER_WAY], record)
            self._append(after, FROM_PAYMENT, says * times)
        return stock, after, bool(says)

    def _publish_requests(self, rows: list[int], asked: Tuple, questions: Tuple, completed: Tuple) -> None:
        """What is read at once, by those who answer the same whenever they read it."""
        for record in (*asked, *completed):
            rows[BUYERS], says = self.parties.customer(rows[BUYERS], record)
            self._append(rows, FROM_CUSTOMER, says)
        for record in questions:
            self._append(rows, FROM_RECOMMENDATION, self.parties.recommendation(record))

    def _append(self, rows: list[int], field: int, records: Tuple) -> None:
        if not records:
            return
        key = rows[field], records
        found = self._queues.get(key)
        if found is None:
            found = self._queues[key] = self._numbers((*self._values[rows[field]], *records))
        rows[field] = found

    def _reborn(self, reader: int, rows: list[int]) -> None:
        """What a party had in memory is gone with its process."""
        if reader == INVENTORY:
            rows[ROOM] = self.timing.reborn(rows[ROOM])
        elif reader == PAYMENT:
            rows[UNDER_WAY] = self.parties.crashed(rows[UNDER_WAY])

    # --- what else may happen to it -----------------------------------------------------------------------------------

    def _timers(self, left: int, stock: int, rows: list[int]) -> Iterator[Move]:
        """Timers that are due, after everything that was appended before they were due."""
        for reader, party, topics in (
            (ORDERS, KNOWN, READ_BY_ORDERS),
            (INVENTORY, ROOM, READ_BY_INVENTORY),
            (PAYMENT, PAYMENTS, (TO_PAYMENT,)),
        ):
            for timer in self.timing.due(rows[party]):
                if not self.timing.earlier(rows, topics, timer):
                    yield self._read(reader, left, stock, rows, timer, "reads")

    def _calls(self, left: int, stock: int, rows: list[int]) -> Iterator[Move]:
        for record, waiting in self.parties.outcomes(rows[UNDER_WAY]):
            base = rows.copy()
            base[UNDER_WAY] = waiting
            yield self._read(PAYMENT, left, stock, base, record, "records")
        budget: Budget = self._values[left]
        for name, gate, under_way, faults, broken in self.parties.turns(rows[GATE], rows[UNDER_WAY], budget.faults > 0):
            after = rows.copy()
            after[GATE], after[UNDER_WAY] = gate, under_way
            fewer = budget if not faults else replace(budget, faults=budget.faults - faults)
            if broken:  # nothing else goes wrong
                fewer = replace(fewer, duplicates=0, crashes=0, faults=0)
            yield Move(name, -1, left if fewer is budget else self._numbers(fewer), stock, self._close(after))

    def _repeats(self, left: int, stock: int, rows: list[int]) -> Iterator[Move]:
        echoes = self._values[rows[ECHOES]]
        for index, (reader, record) in enumerate(echoes):
            base = rows.copy()
            base[ECHOES] = self._numbers((*echoes[:index], *echoes[index + 1 :]))
            yield self._read(reader, left, stock, base, record, "reads once more")

    def _crash(self, left: int, stock: int, rows: list[int]) -> Iterator[Move]:
        """A party dies between two messages. What orders and customer have in memory stands in their databases too."""
        budget: Budget = self._values[left]
        if not budget.crashes:
            return
        for reader in (INVENTORY, PAYMENT):
            after = rows.copy()
            self._reborn(reader, after)
            if after != rows:
                fewer = self._numbers(replace(budget, crashes=budget.crashes - 1))
                yield Move(f"{NAMES[reader]} crashes", -1, fewer, stock, self._close(after))

    def _clients(self, left: int, stock: int, rows: list[int]) -> Iterator[Move]:
        """What may be sent next. Where time may pass before it is read, it waits on its topic; else it is read at once."""
        budget: Budget = self._values[left]
        if not budget.hastes and rows[FROM_CLIENTS] != self._nothing:
            return
        for offer in clients.offers(self.scenario, budget, self._values[rows[SENT]]):
            base = rows.copy()
            base[SENT] = self._numbers(offer.sent)
            number, fewer = self._numbers(offer.record), self._numbers(offer.budget)
            if budget.hastes:
                self._append(base, FROM_CLIENTS, (number,))
                yield Move("somebody sends", number, fewer, stock, self._close(base))
            else:
                yield from self._read_by(ORDERS, fewer, stock, base, number)
