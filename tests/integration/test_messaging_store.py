"""What the runtime's port to the database promises, said once and asked of both: the one in memory and PostgreSQL. No broker, no
handler: whoever keeps a partition's books has to keep these promises by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from tally import MIGRATIONS
from tally_world import RealClock
from workbench import fresh_database

from messaging.decision import CancelTimer, Effect, SetTimer
from messaging.errors import FenceLostError
from messaging.memory import MemoryDatabase, MemoryStore
from messaging.ports import Commit, DueTimer, Ownership, Placed, PostponedTimer, Store, Wire
from messaging.postgres import PostgresStore

TOPIC, OTHER = "orders.commands.v1", "inventory.events.v1"
HERE, THERE = 0, 1
DUE = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO, LATER = timedelta(hours=-1), timedelta(hours=1)


class Asked(BaseModel):
    """What an effect asks for."""

    amount_minor: int


class Books:
    """One partition's owner, and the processes that owned it before."""

    def __init__(self, new_store: Callable[[], Store]) -> None:
        self._new_store = new_store
        self.stores: list[Store] = []

    async def owner(self, partition: int = HERE) -> Owner:
        """A process takes the partition over."""
        store = self._new_store()
        self.stores.append(store)
        return Owner(store, await store.take_over(partition, f"process-{len(self.stores)}", (TOPIC, OTHER)))


class Owner:
    """A process that commits batches: what it goes on from, and what it changes."""

    def __init__(self, store: Store, owned: Ownership) -> None:
        self.store, self.owned = store, owned
        self.offsets = dict(owned.offsets)
        self.next_seq = owned.next_seq

    async def commit(self, reads: int = 1, says: int = 0, **changes: Any) -> list[Wire]:
        """A batch that reads and says so much, and changes this beside it."""
        seqs = range(self.next_seq, self.next_seq + says)
        wires = [Wire(seq, OTHER, self.owned.partition, b"key", b"%d" % seq, "type") for seq in seqs]
        commit = Commit(
            partition=self.owned.partition,
            epoch=self.owned.epoch,
            expected=dict(self.offsets),
            offsets={TOPIC: self.offsets[TOPIC] + reads},
            next_seq=self.next_seq + says,
            outbox=wires,
            **changes,
        )
        transaction = await self.store.begin()
        try:
            await transaction.commit(commit)
        finally:
            await self.store.rollback(transaction)
        self.offsets.update(commit.offsets)
        self.next_seq = commit.next_seq
        return wires

    async def mark(self, *wires: Wire) -> None:
        """These are published."""
        placed = [Placed(wire.seq, wire.topic, 100 + wire.seq) for wire in wires]
        acked = {wire.topic: 100 + wire.seq for wire in wires}
        await self.store.mark_published(self.owned.partition, self.owned.epoch, wires[-1].seq, acked, placed)

    async def waiting(self) -> list[int]:
        """The numbers of all that the outbox keeps."""
        return [wire.seq for wire in await self.store.outbox_after(self.owned.partition, 0, 1000)]

    async def due(self, until: datetime = DUE + 2 * LATER) -> list[DueTimer]:
        """Its timers."""
        return await self.store.due_timers(self.owned.partition, until, 100)


@pytest.fixture(params=["memory", "postgres", "locking"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    async with AsyncExitStack() as running:
        if request.param == "memory":
            database = MemoryDatabase(RealClock())
            found = Books(lambda: MemoryStore(database))
        else:
            server = request.getfixturevalue("server_dsn")
            dsn = await running.enter_async_context(fresh_database(server, MIGRATIONS))
            found = Books(lambda: PostgresStore(dsn, locking=request.param == "locking"))
        yield found
        for store in found.stores:
            await store.close()


def timer(name: str = "order", step: int = 1, due_at: datetime = DUE, key: str = "k") -> dict[str, Any]:
    """A change that sets it."""
    return {"timers": {(key, name): SetTimer(key, name, step, due_at)}}


# --- the fence --------------------------------------------------------------------------------------------------------


async def test_whoever_owned_the_partition_before_changes_nothing_any_more(books: Books) -> None:
    before = await books.owner()
    (said,) = await before.commit(says=1)
    after = await books.owner()
    assert after.owned.epoch > before.owned.epoch
    with pytest.raises(FenceLostError):
        await before.commit(says=1)
    with pytest.raises(FenceLostError):
        await before.store.reload(HERE, before.owned.epoch)
    with pytest.raises(FenceLostError):
        await before.store.set_offsets(HERE, before.owned.epoch, {TOPIC: 77})
    await before.mark(said)
    await before.store.unplace(HERE, before.owned.epoch, 1)
    now = await after.store.reload(HERE, after.owned.epoch)
    assert (now.offsets, now.next_seq, now.published_seq, now.acked) == ({TOPIC: 1, OTHER: 0}, 2, 0, {})
    assert await after.waiting() == [1]


async def test_a_batch_that_did_not_go_on_from_the_stored_offsets_changes_nothing(books: Books) -> None:
    owner = await books.owner()
    await owner.commit(reads=3)
    again = Owner(owner.store, owner.owned)
    with pytest.raises(FenceLostError):
        await again.commit(says=1, **timer())
    assert await owner.waiting() == []
    assert await owner.due() == []
    assert (await owner.store.reload(HERE, owner.owned.epoch)).offsets[TOPIC] == 3


async def test_the_next_owner_goes_on_where_the_last_one_stood(books: Books) -> None:
    before = await books.owner()
    wires = await before.commit(reads=5, says=3, **timer())
    await before.mark(*wires[:2])
    after = (await books.owner()).owned
    assert (after.offsets, after.next_seq, after.published_seq) == ({TOPIC: 5, OTHER: 0}, 4, 2)
    assert (after.acked, after.next_due) == ({OTHER: 102}, DUE)


async def test_partitions_know_nothing_of_each_other(books: Books) -> None:
    here, there = await books.owner(HERE), await books.owner(THERE)
    wires = await here.commit(says=2, effects=[Effect("k", "e", "pay", Asked(amount_minor=1))], **timer())
    await here.mark(*wires)
    assert (await there.waiting(), await there.due(), await there.store.pending_effects(THERE)) == ([], [], [])
    assert await there.store.next_due(THERE) is None
    await there.commit()
    assert (await here.store.reload(HERE, here.owned.epoch)).next_seq == 3


async def test_offsets_can_be_put_where_the_broker_has_them(books: Books) -> None:
    owner = await books.owner()
    await owner.commit(reads=9)
    await owner.store.set_offsets(HERE, owner.owned.epoch, {TOPIC: 4})
    assert (await owner.store.reload(HERE, owner.owned.epoch)).offsets == {TOPIC: 4, OTHER: 0}


# --- the outbox -------------------------------------------------------------------------------------------------------


async def test_the_outbox_is_read_in_order_from_any_place_on(books: Books) -> None:
    owner = await books.owner()
    wires = [*await owner.commit(says=2), *await owner.commit(says=2)]
    assert await owner.store.outbox_after(HERE, 0, 3) == wires[:3]
    assert await owner.store.outbox_after(HERE, 2, 100) == wires[2:]


async def test_what_is_not_published_is_never_forgotten_and_what_is_stays_for_its_time(books: Books) -> None:
    owner = await books.owner()
    wires = await owner.commit(says=3)
    now = datetime.now(UTC)
    assert await owner.store.forget_published(now + LATER)
    await owner.mark(*wires[:2])
    assert await owner.store.forget_published(now + LATER)
    await owner.mark(*wires)
    assert await owner.store.forget_published(now + LONG_AGO)
    assert await owner.waiting() == [1, 2, 3]
    assert not await owner.store.forget_published(now + LATER)
    assert await owner.waiting() == []


async def test_how_far_was_published_never_goes_back(books: Books) -> None:
    owner = await books.owner()
    wires = await owner.commit(says=3)
    await owner.mark(*wires)
    await owner.mark(wires[0])
    assert (await owner.store.reload(HERE, owner.owned.epoch)).published_seq == 3


# --- timers -----------------------------------------------------------------------------------------------------------


async def test_timers_that_are_due_come_the_earliest_first(books: Books) -> None:
    owner = await books.owner()
    early, late = timer("b", due_at=DUE), timer("a", due_at=DUE + LATER)
    await owner.commit(timers=late["timers"] | early["timers"])
    assert [found.name for found in await owner.due()] == ["b", "a"]
    assert [found.name for found in await owner.due(until=DUE)] == ["b"]
    assert await owner.due(until=DUE - timedelta(microseconds=1)) == []
    assert await owner.store.next_due(HERE) == DUE
    assert await owner.store.next_due(HERE, ["k"]) is None
    assert await owner.store.due_timers(HERE, DUE + LATER, 100, ["k"]) == []


async def test_a_timer_that_is_set_again_is_the_new_one_with_its_step(books: Books) -> None:
    owner = await books.owner()
    await owner.commit(**timer(step=1, due_at=DUE))
    await owner.commit(**timer(step=2, due_at=DUE + LATER))
    assert await owner.due() == [DueTimer("k", "order", 2, DUE + LATER)]


async def test_a_cancelled_timer_is_gone_and_no_other(books: Books) -> None:
    owner = await books.owner()
    await owner.commit(timers=timer("a")["timers"] | timer("b")["timers"] | timer("a", key="other")["timers"])
    await owner.commit(timers={("k", "a"): CancelTimer("k", "a")})
    assert sorted((found.key, found.name) for found in await owner.due()) == [("k", "b"), ("other", "a")]


async def test_a_timer_is_put_off_only_as_it_was_claimed(books: Books) -> None:
    owner = await books.owner()
    names = ("stays", "set-anew", "another-step", "cancelled")
    claimed = {name: DueTimer("k", name, 1, DUE) for name in names}
    await owner.commit(timers={key: value for name in names for key, value in timer(name)["timers"].items()})
    await owner.commit(timers=timer("set-anew", 1, DUE + LATER)["timers"] | timer("another-step", 2, DUE)["timers"])
    await owner.commit(timers={("k", "cancelled"): CancelTimer("k", "cancelled")})
    until = DUE + 2 * LATER
    await owner.commit(timers={("k", name): PostponedTimer(claimed[name], until) for name in names})
    assert await owner.due() == [
        DueTimer("k", "another-step", 2, DUE),
        DueTimer("k", "set-anew", 1, DUE + LATER),
        DueTimer("k", "stays", 1, until),
    ]


# --- effects ----------------------------------------------------------------------------------------------------------


async def test_an_effect_is_asked_for_until_its_end_is_recorded(books: Books) -> None:
    owner = await books.owner()
    effects = [Effect("k", f"e{number}", "pay", Asked(amount_minor=number)) for number in (1, 2)]
    await owner.commit(effects=effects)
    pending = await (await books.owner()).store.pending_effects(HERE)
    assert [(row.id, row.key, row.kind, Asked.model_validate_json(row.request)) for row in pending] == [
        (effect.id, effect.key, effect.kind, effect.request) for effect in effects
    ]
    heir = await books.owner()
    await heir.commit(effects_done=["e1"])
    assert [row.id for row in await heir.store.pending_effects(HERE)] == ["e2"]


async def test_an_effect_that_is_asked_for_again_is_still_one(books: Books) -> None:
    owner = await books.owner()
    effect = Effect("k", "e", "pay", Asked(amount_minor=1))
    await owner.commit(effects=[effect])
    await owner.commit(effects=[replace(effect, request=Asked(amount_minor=2))])
    (row,) = await owner.store.pending_effects(HERE)
    assert Asked.model_validate_json(row.request) == effect.request


async def test_an_effect_that_ends_in_the_batch_that_asks_for_it_is_over(books: Books) -> None:
    owner = await books.owner()
    await owner.commit(effects=[Effect("k", "e", "pay", Asked(amount_minor=1))], effects_done=["e"])
    assert await owner.store.pending_effects(HERE) == []
