"""When a hold is over: what the stock room announces, when, and how often. It frees nothing by itself."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from inventory_room import NOW, Room, completed, extend, freed, release, reserve, room

from services.inventory.holds import sweep_key


def at(shop: Room) -> float:
    """Seconds since the beginning."""
    return (shop.now - NOW).total_seconds()


def test_a_hold_is_announced_when_its_expiry_has_passed_and_nothing_is_freed() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    assert shop.timer == NOW + timedelta(seconds=900)
    assert shop.fire() == [("o", "r1")]
    assert shop.shelf("A") == (3, 2, 0)
    assert shop.tell("o", release()) == freed("r1", ("A", 2))


def test_the_announcement_names_the_expiry_that_has_passed() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.fire()
    (row,) = shop.reservations.values()
    assert (row.expires_at, row.announced) == (NOW + timedelta(seconds=900), 1)


def test_what_has_no_expiry_is_never_announced() -> None:
    shop = room(A=5)
    shop.tell("o", reserve())
    assert shop.timer is None
    shop.tell("o", extend(for_s=900))
    assert shop.timer is None


@pytest.mark.parametrize("end", [release(), completed("r1")])
def test_what_ended_in_time_is_not_announced_and_the_timer_fires_once_for_nothing(end: object) -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.tell("o", end)
    assert shop.timer is not None
    assert shop.fire() == []
    assert shop.timer is None


def test_a_timer_is_set_for_the_first_hold_and_not_for_each() -> None:
    shop = room(A=50)
    for number in range(20):
        shop.tell(f"o{number}", reserve("r1", ("A", 1), for_s=900 + number))
    assert shop.timers_set == 1
    shop.tell("hurry", reserve("r1", ("A", 1), for_s=60))
    assert (shop.timers_set, shop.timer) == (2, NOW + timedelta(seconds=60))


def test_holds_that_expire_close_together_are_announced_together() -> None:
    shop = room(A=50)
    for number in range(4):
        shop.tell(f"o{number}", reserve("r1", ("A", 1), for_s=900 + number))
    assert shop.fire() == [("o0", "r1")]
    assert at(shop) == 900
    assert shop.fire() == [("o1", "r1"), ("o2", "r1"), ("o3", "r1")]
    assert at(shop) == 905


def test_an_announcement_that_nobody_answers_is_repeated_at_growing_intervals() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    told = []
    for _ in range(9):
        assert shop.fire() == [("o", "r1")]
        told.append(at(shop))
    waits = [after - before for before, after in pairwise(told)]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_an_extended_hold_is_announced_again_when_that_is_over() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    assert shop.fire() == [("o", "r1")]
    assert shop.tell("o", extend(for_s=1200)) == []
    assert shop.fire() == []  # the repeat that was due after 60 s is not needed
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 1200
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 1260


def test_an_extension_in_time_keeps_it_from_being_announced() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.tell("o", extend(for_s=1200))
    assert shop.fire() == []
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 1200


def test_an_older_extension_shortens_nothing() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.tell("o", extend(for_s=1500))
    shop.tell("o", extend(for_s=1200))
    (row,) = shop.reservations.values()
    assert row.expires_at == NOW + timedelta(seconds=1500)


@pytest.mark.parametrize("end", [release(), completed("r1")])
def test_an_extension_of_what_is_not_held_changes_nothing(end: object) -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.tell("o", end)
    before, shelf = dict(shop.reservations), shop.shelf("A")
    assert shop.tell("o", extend(for_s=1200)) == []
    assert shop.tell("stranger", extend(for_s=1200)) == []
    assert (shop.reservations, shop.shelf("A")) == (before, shelf)


def test_a_hold_that_is_made_after_its_expiry_is_announced_a_moment_later() -> None:
    shop = room(A=5)
    shop.skip(3_600)
    shop.tell("o", reserve(for_s=900))
    assert shop.shelf("A") == (3, 2, 0)
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 3_605


def test_an_extension_that_is_over_already_counts_and_is_announced_a_moment_later() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    assert shop.fire() == [("o", "r1")]
    shop.skip(30)
    shop.tell("o", extend(for_s=910))
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 935


def test_a_reservation_that_is_asked_for_again_keeps_its_expiry() -> None:
    shop = room(A=5)
    shop.tell("o", reserve(for_s=900))
    shop.tell("o", reserve(for_s=5_000))
    assert shop.fire() == [("o", "r1")]
    assert at(shop) == 900


def test_partitions_have_timers_of_their_own() -> None:
    assert sweep_key(1) != sweep_key(2)
