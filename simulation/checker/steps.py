"""Every next step of a world. A world is a tuple of numbers: what may still go wrong, the stock, and for each order four more.

Two orders share the stock, time and what may go wrong; each has its own topics, rows and calls, as if they were of two partitions.
So both are named alike, and a world in which they have changed places is the same world: every decision is given one order's own
rows and the stock, and nothing in them tells which of the two it is.

The customer and the recommendation service read at once: what they answer does not depend on when they are asked, and their answers
are read at any later time. Publishing is part of deciding: each topic has one producer, so a record that is published later is one
that is read later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from simulation.checker import clients
from simulation.checker.groups import Groups
from simulation.checker.parties import Parties
from simulation.checker.world import Part, Scenario

World = tuple[int, ...]
#: What happens, with what (a number; below 0: with nothing), and the world after it.
Move = tuple[str, int, World]
#: The same, and to which order (below 0: to both).
Step = tuple[str, int, World, int]

#: How many numbers an order has in a world.
WIDTH: Final = 4
ORDERS, INVENTORY, PAYMENT = range(3)
_AGAIN: Final = ", and it will come again:"
_TWICE: Final = ", publishes, dies, publishes again:"


class Steps:
    """See the module."""

    def __init__(self, scenario: Scenario, parties: Parties) -> None:
        self.scenario = scenario
        self.groups = Groups(parties)
        self._numbers = parties.numbers
        self._values = parties.numbers.values
        self._nothing = parties.nothing
        self._fewer: dict[tuple[int, str], int | None] = {}
        self._offered: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        self._moves: dict[World, tuple[bool, list[Move]]] = {}

    def begin(self) -> World:
        """Nobody has asked for anything yet; the shop has its stock."""
        stock = self._numbers(clients.stock(self.scenario))
        return (self._numbers(self.scenario.budget), stock, *self.groups.begin() * self.scenario.orders)

    def parts(self, world: World) -> list[Part]:
        """The orders' parts of a world, opened."""
        return [self.groups.open(world[at : at + WIDTH]) for at in range(2, len(world), WIDTH)]

    # --- all of a world -----------------------------------------------------------------------------------------------

    def of(self, world: World) -> tuple[list[Step], bool]:
        """Every next step; and whether all is at rest, so that only a client or a crash could make one."""
        if self.scenario.orders == 1:
            busy, moves = self._find_moves(world)
            steps = [(*move, 0) for move in moves]
        else:
            busy, steps = self._of_each(world)
        time = self._time(world, busy)
        return steps + time, not busy and not time

    def _of_each(self, world: World) -> tuple[bool, list[Step]]:
        busy, steps = False, []
        for order, at in enumerate(range(2, len(world), WIDTH)):
            alone = (*world[:2], *world[at : at + WIDTH])
            found = self._moves.get(alone)
            if found is None:
                found = self._moves[alone] = self._find_moves(alone)
            busy = busy or found[0]
            before, behind = world[2:at], world[at + WIDTH :]
            steps += [(what, n, (*after[:2], *before, *after[2:], *behind), order) for what, n, after in found[1]]
        return busy, steps

    def _time(self, world: World, busy: bool) -> list[Step]:
        """Time passes by itself where nobody has anything to do, and in haste where somebody has. Where an order waits for a
        person, one comes; only a call that is under way is still waited for."""
        hasty = self._less(world[0], "hastes")
        if busy and hasty is None:
            return []
        parts = self.parts(world)
        helps = [] if busy else list(self._helps(world, parts))
        passed = self.groups.timing.next(parts)
        if passed is None:
            return helps
        free = not busy and (not helps or self.groups.timing.calls_under_way(parts))
        found = [*helps, self._passes("time passes:", passed, world)] if free else helps
        if hasty is not None:
            for sent, names in self._unread((hasty, *world[1:])):
                if names:
                    found.append(self._passes(f"time passes, with {names}unread:", passed, sent))
                elif not free:
                    found.append(self._passes("time passes, though there is something to do:", passed, sent))
        return found

    def _passes(self, how: str, passed: timedelta, world: World) -> Step:
        after = [self.groups.later(world[at : at + WIDTH], passed) for at in range(2, len(world), WIDTH)]
        return how, self._numbers(passed), (*world[:2], *(number for part in after for number in part)), -1

    def _helps(self, world: World, parts: list[Part]) -> Iterator[Step]:
        for order, part in enumerate(parts):
            record = clients.helped(self._values[part.desk.known])
            if record is not None:
                at, moves = 2 + order * WIDTH, list[Move]()
                alone = (*world[:2], *world[at : at + WIDTH])
                self._orders_read(moves, alone, self._numbers(record), plain=True)
                what, number, after = moves[0]
                yield what, number, (*after[:2], *world[2:at], *after[2:], *world[at + WIDTH :]), order

    def _less(self, left: int, name: str) -> int | None:
        """What is left when one of these has been used; None where there is none."""
        key = left, name
        if key not in self._fewer:
            budget = self._values[left]
            count = getattr(budget, name)
            self._fewer[key] = self._numbers(replace(budget, **{name: count - 1})) if count else None
        return self._fewer[key]

    # --- one order ----------------------------------------------------------------------------------------------------

    def _find_moves(self, world: World) -> tuple[bool, list[Move]]:
        left, stock, desk, store, till, echoes = world
        groups, moves = self.groups, list[Move]()
        for record, rest in groups.desk_heads(desk):
            self._orders_read(moves, (left, stock, rest, store, till, echoes), record)
        for record, rest in groups.from_store(store):
            self._orders_read(moves, (left, stock, desk, rest, till, echoes), record)
        for record, rest in groups.from_till(till):
            self._orders_read(moves, (left, stock, desk, store, rest, echoes), record)
        for record, rest in groups.store_heads(store):
            self._inventory_reads(moves, (left, stock, desk, rest, till, echoes), record)
        for record, rest in groups.till_heads(till):
            self._payment_reads(moves, (left, stock, desk, store, rest, echoes), record)
        for record, rest in groups.outcomes(till):
            self._payment_reads(moves, (left, stock, desk, store, rest, echoes), record, plain=True)
        self._turns(moves, world)
        self._timers(moves, world)
        if echoes != self._nothing:
            self._repeats(moves, world)
        busy = bool(moves)
        self._crashes(moves, world)
        self._clients(moves, world)
        return busy, moves

    def _orders_read(self, moves: list[Move], base: World, record: int, plain: bool = False) -> None:
        """The orchestrator reads a record. Unless it is `plain`, it may come again later, and the reader may die before it is on
        record that it published."""
        left, stock, desk, store, till, echoes = base
        groups = self.groups
        desk_after, asked, charged, completed, says = groups.orders(desk, record)
        store_after = groups.fill_store(store, asked, completed)
        till_after = groups.fill_till(till, charged)
        moves.append(("orders reads", record, (left, stock, desk_after, store_after, till_after, echoes)))
        if plain:
            return
        fewer = self._less(left, "duplicates")
        if fewer is not None:
            again = groups.echo(echoes, ORDERS, record)
            moves.append((f"orders reads{_AGAIN}", record, (fewer, stock, desk_after, store_after, till_after, again)))
        fewer = self._less(left, "crashes")
        if fewer is not None and says:
            desk_after, asked, charged, completed, _ = groups.orders(desk, record, 2)
            store_after = groups.fill_store(store, asked, completed)
            till_after = groups.fill_till(till, charged)
            moves.append((f"orders reads{_TWICE}", record, (fewer, stock, desk_after, store_after, till_after, echoes)))

    def _inventory_reads(self, moves: list[Move], base: World, record: int, plain: bool = False) -> None:
        left, stock, desk, store, till, echoes = base
        groups = self.groups
        stock_after, store_after, says = groups.inventory(stock, store, record)
        moves.append(("inventory reads", record, (left, stock_after, desk, store_after, till, echoes)))
        if plain:
            return
        fewer = self._less(left, "duplicates")
        if fewer is not None:
            again = groups.echo(echoes, INVENTORY, record)
            moves.append((f"inventory reads{_AGAIN}", record, (fewer, stock_after, desk, store_after, till, again)))
        fewer = self._less(left, "crashes")
        if fewer is not None and says:
            stock_after, store_after, _ = groups.inventory(stock, store, record, 2)
            moves.append((f"inventory reads{_TWICE}", record, (fewer, stock_after, desk, store_after, till, echoes)))

    def _payment_reads(self, moves: list[Move], base: World, record: int, plain: bool = False) -> None:
        left, stock, desk, store, till, echoes = base
        groups = self.groups
        till_after, says = groups.payment(till, record)
        moves.append(("payment reads", record, (left, stock, desk, store, till_after, echoes)))
        fewer = self._less(left, "crashes")
        if fewer is not None and says:
            till_after, _ = groups.payment(till, record, 2)
            moves.append((f"payment reads{_TWICE}", record, (fewer, stock, desk, store, till_after, echoes)))
        fewer = self._less(left, "duplicates")
        if fewer is not None and not plain:
            till_after, _ = groups.payment(till, record)
            again = groups.echo(echoes, PAYMENT, record)
            moves.append((f"payment reads{_AGAIN}", record, (fewer, stock, desk, store, till_after, again)))

    # --- what else may happen to it -----------------------------------------------------------------------------------

    def _turns(self, moves: list[Move], world: World) -> None:
        """What happens between payment's calls and the gateway."""
        left, stock, desk, store, till, echoes = world
        fewer = self._less(left, "faults")
        for name, till_after, faults, broken in self.groups.turns(till, fewer is not None):
            after = fewer if faults and fewer is not None else left
            if broken:  # nothing else goes wrong
                after = self._numbers(replace(self._values[after], duplicates=0, crashes=0, faults=0))
            moves.append((name, -1, (after, stock, desk, store, till_after, echoes)))

    def _timers(self, moves: list[Move], world: World) -> None:
        """Timers that are due, after everything that was appended before they were due."""
        _, _, desk, store, till, _ = world
        groups = self.groups
        if groups.is_due("desk", groups.desks, desk):
            for timer in groups.due_at_desk(desk, store, till):
                self._orders_read(moves, world, timer, plain=True)
        if groups.is_due("store", groups.stores, store):
            for timer in groups.due_at_store(store):
                self._inventory_reads(moves, world, timer, plain=True)
        if groups.is_due("till", groups.tills, till):
            for timer in groups.due_at_till(till):
                self._payment_reads(moves, world, timer, plain=True)

    def _repeats(self, moves: list[Move], world: World) -> None:
        """What was read before comes again."""
        *rest, echoes = world
        queue = self._values[echoes]
        for index, (reader, record) in enumerate(queue):
            base = (*rest, self._numbers((*queue[:index], *queue[index + 1 :])))
            reads = (self._orders_read, self._inventory_reads, self._payment_reads)[reader]
            reads(moves, base, record, plain=True)
            what, number, after = moves[-1]
            moves[-1] = (f"{what} once more:", number, after)

    def _crashes(self, moves: list[Move], world: World) -> None:
        """A party dies between two records. What orders and customer have in memory stands in their databases too."""
        left, stock, desk, store, till, echoes = world
        fewer = self._less(left, "crashes")
        if fewer is None:
            return
        reborn = self.groups.crash_store(store)
        if reborn != store:
            moves.append(("inventory crashes", -1, (fewer, stock, desk, reborn, till, echoes)))
        reborn = self.groups.crash_till(till)
        if reborn != till:
            moves.append(("payment crashes", -1, (fewer, stock, desk, store, reborn, echoes)))

    def _clients(self, moves: list[Move], world: World) -> None:
        """What is sent next, and read at once: what else may happen before it is read might as well happen before it is sent.
        Where time passes before it is read, see `_unread`."""
        left, stock, desk, *rest = world
        known = self.groups.desks.values[desk]
        if known.from_clients != self._nothing:
            return  # what was sent before is read before
        for record, sent, fewer in self._offers(left, known.sent):
            self._orders_read(moves, (fewer, stock, self.groups.sent(desk, sent, None), *rest), record)

    def _offers(self, left: int, sent: int) -> list[tuple[int, int, int]]:
        """Every command that may be sent next: its record, what has been sent then, what is left then."""
        found = self._offered.get((left, sent))
        if found is None:
            numbers = self._numbers
            offers = clients.offers(self.scenario, self._values[left], self._values[sent])
            found = [(numbers(offer.record), numbers(offer.sent), numbers(offer.budget)) for offer in offers]
            self._offered[left, sent] = found
        return found

    def _unread(self, world: World, order: int = 0) -> Iterator[tuple[World, str]]:
        """All that may have been sent to the orders and stand unread when time passes: the world with it, and its names."""
        at = 2 + order * WIDTH
        if at >= len(world):
            yield world, ""
            return
        yield from self._unread(world, order + 1)
        desk = self.groups.desks.values[world[at]]
        for record, sent, fewer in self._offers(world[0], desk.sent):
            with_it = (fewer, *world[1:at], self.groups.sent(world[at], sent, record), *world[at + 1 :])
            for found, names in self._unread(with_it, order):
                yield found, f"{self._values[record].id} {names}"
