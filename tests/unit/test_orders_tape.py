"""The tape's parts that need no system: order, gaps, words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.orders.tape import words
from services.orders.tape.assemble import in_causal_order, paired
from services.orders.tape.gaps import with_gaps
from services.orders.tape.piece import Kind, Piece
from services.orders.tape.told import told

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN: dict[str, Any] = {"deadline": None, "waiting_for": None}


def piece(id: str, at_s: float = 0, *after: str, kind: Kind = "event", type: str | None = None, **more: Any) -> Piece:
    return Piece(id, NOW + timedelta(seconds=at_s), kind, type, id, "", after=after, **more)


def ids(pieces: list[Piece]) -> list[str | None]:
    return [found.id for found in pieces]


def test_entries_stand_in_the_order_of_time_unless_their_cause_came_later() -> None:
    assert ids(in_causal_order([piece("c", 3), piece("a", 1), piece("b", 2)])) == ["a", "b", "c"]
    fast_clock = [piece("cause", 5), piece("effect", 1, "cause"), piece("later", 6), piece("earlier", 0)]
    assert ids(in_causal_order(fast_clock)) == ["earlier", "cause", "effect", "later"]


def test_a_cause_that_is_not_on_the_tape_holds_nothing_up() -> None:
    assert ids(in_causal_order([piece("a", 1, "who"), piece("b", 0)])) == ["b", "a"]


def test_a_circle_is_broken_by_time() -> None:
    assert ids(in_causal_order([piece("a", 2, "b"), piece("b", 1, "a"), piece("c", 3, "b")])) == ["b", "a", "c"]


def test_a_gap_is_a_second_or_more_and_clocks_that_go_back_make_none() -> None:
    pieces = [piece("a", 0), piece("b", 0.99), piece("c", -5), piece("d", 2), piece("e", 3)]
    found = with_gaps(pieces, OPEN, NOW + timedelta(seconds=3.5))
    assert ids(found) == ["a", "b", "c", None, "d", None, "e"]
    assert [gap.duration_s for gap in found if gap.kind == "gap"] == [1.01, 1.0]


def test_what_a_release_undoes_is_found_by_its_reservation() -> None:
    held = [piece(f"held-{n}", n, type="stock.held", data={"reservation_id": f"r{n}"}) for n in (1, 2)]
    freed = piece("freed", 9, type="stock.released", data={"reservation_id": "r2"})
    stray = piece("stray", 9, type="stock.released", data={"reservation_id": "r3"})
    found = paired([*held, freed, stray])
    assert found[2].data["undoes"] == "held-2"
    assert found[2].text == "undoes: held-2 of 2026-01-01 12:00:02 UTC"
    assert found[3] == stray


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.25, "0.2 s"),
        (1, "1 s"),
        (9.96, "10 s"),
        (41.7, "41 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (3_780, "1 h 3 min"),
        (2 * 86_400 + 4 * 3_600 + 59, "2 d 4 h"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, said: str) -> None:
    assert words.spoken(seconds) == said


def test_a_type_that_nobody_knows_has_a_title_and_a_detail_that_is_odd_does_no_harm() -> None:
    assert words.title("orders.parcel-lost_again.v3") == "Parcel lost again"
    assert words.title("odd") == "Odd"
    odd = {"items": "no list", "total_minor": "7", "deadline": "soon", "sku": None, "error": "\x1b[2J", "x": 1}
    assert words.details(odd) == "until soon, \x1b[2J"


def test_what_one_clock_says_before_the_other_takes_no_negative_time() -> None:
    row = {
        "sequence": 1,
        "at": NOW,
        "type": "orders.command-accepted.v1",
        "event_id": "e1",
        "worker": "w",
        "data": {"command_id": "c1", "command_type": "orders.start-order.v1", "duplicate": False},
        "sent": [],
        "topic": None,
        "partition": None,
        "offset": None,
        "cause": "c1",
        "cause_type": "orders.start-order.v1",
        "cause_at": NOW + timedelta(seconds=2),
        "cause_topic": "orders.commands.v1",
        "cause_partition": 0,
        "cause_offset": 4,
        "answers": None,
    }
    again = {**row, "sequence": 2, "event_id": "e2", "cause_offset": 5}
    came, verdict, second, _ = told([row, again], []).pieces
    assert verdict.duration_s == 0
    assert verdict.message == {"direction": "out", "topic": None, "partition": None, "offset": None, "id": "e1"}
    assert (came.id, second.id) == ("c1", "c1#2"), "a command that came twice stands there twice"
