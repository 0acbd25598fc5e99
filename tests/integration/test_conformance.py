"""Simulated histories leave the same rows on PostgreSQL as in memory (`python -m proof.conform` lives many more of them again)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from backends import Backends

from proof.conform import conform, open_rooms
from proof.conformance import replay as replaying
from proof.conformance.replay import DifferentError, Room, replay
from proof.conformance.worlds import live
from services.orders import store as orders_store

#: Each world holds about five orders, and each order's life is a history.
WORLDS = 6
FEWEST_HISTORIES = 20


@pytest.fixture
async def rooms(backends: Backends) -> AsyncIterator[list[Room]]:
    """The services' databases."""
    found = await open_rooms(backends.postgres, backends.dsn)
    yield found
    for room in found:
        await room.close()


async def test_histories_of_the_simulation_lived_again_on_postgresql_leave_the_same_rows(rooms: list[Room]) -> None:
    histories = 0
    for seed in range(WORLDS):
        histories += (await conform(live(seed), rooms))["histories"]
    assert histories >= FEWEST_HISTORIES


async def test_a_hold_that_is_extended_and_ended_by_one_batch_leaves_the_same_row(rooms: list[Room]) -> None:
    """Found by `python -m proof.conform --seed 2`: PostgreSQL kept the expiry of before."""
    assert (await conform(live(2_000_459), rooms))["histories"] > 0


#: In its replay everything that rests is archived again and again, and some of it is asked for later.
WORLD_THAT_IS_ARCHIVED = 12


async def test_orders_that_go_into_the_archive_and_come_back_make_no_difference(rooms: list[Room]) -> None:
    world = live(WORLD_THAT_IS_ARCHIVED)
    orders = next(room for room in rooms if room.service == "orders")
    lived = await replay(world, orders)
    left: int = await orders.admin.fetchval("SELECT count(*) FROM archive")
    assert lived.archived > left > 0, "none came back, or none stayed"


async def test_an_order_that_does_not_come_back_from_the_archive_is_noticed(
    rooms: list[Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = next(room for room in rooms if room.service == "orders")
    monkeypatch.setattr(orders_store, "RESTORE", "DELETE FROM archive WHERE order_id = ANY ($1::text[])")
    with pytest.raises(DifferentError, match="orders"):
        await replay(live(WORLD_THAT_IS_ARCHIVED), orders)


async def test_a_row_that_is_only_in_one_of_the_two_is_noticed(rooms: list[Room]) -> None:
    world = live(3)
    orders = next(room for room in rooms if room.service == "orders")
    world.system.parts.orders.verdicts.popitem()
    with pytest.raises(DifferentError, match="orders: command: "):
        await replay(world, orders)


async def test_a_store_that_forgets_a_write_is_noticed(rooms: list[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    notification = next(room for room in rooms if room.service == "notification")
    monkeypatch.setattr(replaying.PostgresMails, "stage_contacts", lambda *_: None)
    with pytest.raises(DifferentError, match="notification"):
        await replay(live(3), notification)
