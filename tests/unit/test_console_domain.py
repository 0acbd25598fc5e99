"""What the console decides by itself: roles, words, the way of an order, filters, what a viewer is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import HTTPException

from contracts.letters import Letter
from orderctl.errors import UsageError
from orderctl.events import Event
from orderctl.letters.book import DeadLetter
from services.console.access import TRIES, UNDER_WAY, WINDOW_S, Attempts, require
from services.console.domain import (
    NEEDS,
    REASONS,
    ROLES,
    WAITING,
    Role,
    actions_for,
    age_limit,
    in_words,
    masked,
    may,
    road_of,
    took_of,
)
from services.console.live import BOX, KEPT, Hub, Viewer
from services.console.pages import link
from services.console.pages_actions import FIELDS, MAKE, TITLES
from services.console.pages_letters import LISTED, _chosen, _row, part_of
from services.console.pages_orders import _line, query_of
from services.console.settings import load_settings
from services.console.store import NOBODY, Person

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def order(status: str, **facts: Any) -> dict[str, Any]:
    return {"status": status, "waiting_for": None, "reason": None, "paused": False, "workflow_version": 2, **facts}


def person(role: Role) -> Person:
    return Person("ann", role, "token", one_time=False)


def test_every_action_has_a_role_a_title_and_a_command() -> None:
    assert NEEDS.keys() == TITLES.keys() == MAKE.keys()
    assert FIELDS.keys() <= NEEDS.keys()


@pytest.mark.parametrize("action", NEEDS)
def test_a_viewer_may_do_nothing_and_an_operator_everything(action: str) -> None:
    assert not may("viewer", action)
    assert may("operator", action)
    with pytest.raises(HTTPException):
        require(person("viewer"), action)
    require(person("operator"), action)


def test_dead_letters_are_read_by_the_support_desk_and_settled_by_operators() -> None:
    assert [may(role, "see-letters") for role in ROLES] == [False, True, True]
    assert [may(role, "letters") for role in ROLES] == [False, False, True]


def letter(offset: int, reason: str = "invalid", topic: str = "orders.commands.v1") -> DeadLetter:
    name = Letter("orders", topic, 0, offset)
    return DeadLetter(name, b"cust-77", b"{}", [], reason, "no", "2026-11-28T12:00:00Z", None, None, "t", 0, offset)


def test_letters_are_chosen_by_name_or_by_group_and_never_all_by_accident() -> None:
    letters = [letter(1), letter(2, "handler-error"), letter(3)]
    assert _chosen(letters, {"reason_is": "invalid"}) == [letters[0], letters[2]]
    assert _chosen(letters, {"names": f"{letters[1].letter}\n{letters[2].letter}"}) == letters[1:]
    with pytest.raises(UsageError):
        _chosen(letters, {"names": "  "})


def test_letters_are_told_a_page_at_a_time_and_none_is_missed_or_told_twice() -> None:
    letters = [letter(n, "invalid" if n % 2 else "unreadable") for n in range(2 * LISTED + 30)]
    asked, seen = {"reason_is": "invalid"}, []
    rows, older = part_of(letters, asked)
    assert (len(rows), older, rows[0]) == (LISTED, 15, letters[-1])
    seen += rows
    # Meanwhile one is set aside.
    more = [*letters, letter(9_999)]
    rows, older = part_of(more, {**asked, "before": str(seen[-1].letter)})
    assert (len(rows), older) == (15, 0)
    assert [*seen, *rows] == [one for one in reversed(letters) if one.reason == "invalid"]
    assert part_of(more, {**asked, "before": str(rows[-1].letter)}) == ([], 0)


def test_who_only_looks_on_does_not_see_what_a_letter_says() -> None:
    row = _row(letter(1, topic="customer.commands.v1"), {}, person("viewer"))
    assert (row["key"], row["error"]) == ("cu…", "")
    assert _row(letter(1), {}, person("support"))["error"] == "no"


def test_the_support_desk_speaks_for_customers_and_does_not_step_into_the_machinery() -> None:
    assert {action for action in NEEDS if may("support", action)} == {"start", "approve", "cancel", "add-line"}


def test_what_is_offered_follows_from_state_and_role() -> None:
    waiting = order("AWAITING_APPROVAL", waiting_for="approval")
    assert actions_for("operator", waiting) == ("approve", "add-line", "cancel", "pause", "retry-now")
    assert actions_for("support", waiting) == ("approve", "add-line", "cancel")
    assert actions_for("viewer", waiting) == ()
    assert actions_for("operator", order("COMPLETED")) == ()
    stuck = order("NEEDS_ATTENTION", waiting_for="refund", paused=True)
    assert actions_for("operator", stuck) == ("cancel", "resume", "retry-now", "resolve")


@pytest.mark.parametrize("waiting_for", WAITING)
def test_every_wait_has_words(waiting_for: str) -> None:
    assert WAITING[waiting_for] in in_words(order("PAYING", waiting_for=waiting_for))
    assert in_words(order("NEEDS_ATTENTION", waiting_for=waiting_for)).startswith("Needs a person")


@pytest.mark.parametrize("reason", REASONS)
def test_every_unhappy_end_says_why(reason: str) -> None:
    assert in_words(order("FAILED", reason=reason)) == f"Failed, because {REASONS[reason]}."


def test_the_way_of_an_order_shows_how_far_it_came_and_where_it_ended() -> None:
    reserved = ["orders.order-started.v1", "orders.order-enriched.v1", "orders.stock-reserved.v1"]
    assert [s.state for s in road_of(order("AWAITING_APPROVAL"), reserved)] == [
        "passed",
        "passed",
        "here",
        "ahead",
        "ahead",
    ]
    ended = road_of(order("CANCELLED"), reserved)
    assert [s.state for s in ended] == ["passed", "passed", "failed", "ahead", "failed"]
    assert ended[-1].label == "Cancelled"
    undone = road_of(order("COMPENSATING"), reserved)
    assert [(s.label, s.state) for s in undone[2:]] == [
        ("Approval", "failed"),
        ("Payment", "ahead"),
        ("Being undone", "here"),
    ]
    assert road_of(order("NEEDS_ATTENTION", waiting_for="refund"), reserved)[-1].label == "Being undone"
    assert next(s.name for s in road_of(order("RESERVING", workflow_version=1), [])) == "reserved"


def test_each_station_tells_how_long_it_took_from_the_one_before() -> None:
    events = [
        ("orders.order-started.v1", NOW),
        ("orders.order-enriched.v1", NOW + timedelta(seconds=2)),
        ("orders.stock-reserved.v1", NOW + timedelta(seconds=3)),
        ("orders.stock-reserved.v1", NOW + timedelta(seconds=9)),
    ]
    assert took_of(order("PAYING", created_at=NOW.isoformat()), events) == {"enriched": 2.0, "reserved": 1.0}


def test_a_greeting_has_a_way_and_words_of_its_own() -> None:
    greeted = order("COMPLETED", workflow="greet")
    assert in_words(greeted) == "Greeted."
    assert [(s.label, s.state) for s in road_of(greeted, ["orders.greeted.v1"])] == [("Greeted", "passed")]


def test_it_listens_on_loopback_unless_it_is_told_otherwise() -> None:
    assert load_settings({}).http_host == "127.0.0.1"


def test_who_only_looks_on_sees_the_beginning_of_a_customers_id() -> None:
    assert [masked("customer-7", role) for role in ROLES] == ["cu…", "customer-7", "customer-7"]
    assert [masked(short, "viewer") for short in ("ab", "Zoe", "anna", "", None)] == ["…", "…", "…", "", ""]


def test_filters_become_the_query_and_an_age_becomes_a_time() -> None:
    asked = {"status": "PAYING", "customer": "", "older": "2h", "nonsense": "x"}
    assert query_of(asked, NOW) == {"limit": "50", "status": "PAYING", "created_before": "2026-11-28T10:00:00+00:00"}
    with pytest.raises(ValueError, match="10 minutes, 2 hours"):
        query_of({"older": "soon"}, NOW)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("10m", 600),
        ("10 minutes", 600),
        ("older than 10 minutes", 600),
        (" Older  than 1 hour ", 3600),
        ("2 weeks", 1209600),
        ("", None),
    ],
)
def test_an_age_is_said_in_words_or_in_short(said: str, seconds: float | None) -> None:
    assert age_limit(said) == seconds


def test_the_beginning_of_an_id_is_searched_in_the_order_of_ids() -> None:
    asked = {"q": " ORDER-2026 ", "sort": "oldest", "sku": "tea", "reason": "out-of-stock"}
    assert query_of(asked, NOW) == {
        "limit": "50",
        "id_prefix": "ORDER-2026",
        "sort": "id",
        "sku": "tea",
        "reason": "out-of-stock",
    }


def test_a_value_that_a_spreadsheet_would_run_is_exported_as_text() -> None:
    assert _line(["=1+1", "O-1", 5]) == "'=1+1,O-1,5\r\n"


def test_a_name_that_nobody_has_is_checked_as_dearly_as_one_that_somebody_has() -> None:
    assert not PasswordHasher().check_needs_rehash(NOBODY)


def test_too_many_failed_log_ins_have_to_wait_and_only_so_long() -> None:
    attempts = Attempts()
    for n in range(TRIES):
        assert attempts.begin(("name ann", "address 1"), n)
        attempts.end(("name ann", "address 1"), n, failed=True)
    assert not attempts.begin(("name ann", "address 2"), TRIES)
    assert not attempts.begin(("name bob", "address 1"), TRIES)
    assert attempts.begin(("name bob", "address 2"), TRIES)
    assert attempts.begin(("name ann", "address 1"), WINDOW_S + TRIES)


def test_a_try_counts_while_it_is_under_way_and_not_any_more_once_it_was_right() -> None:
    attempts, keys = Attempts(), ("name ann", "address 1")
    assert [attempts.begin(keys, 1.0) for _ in range(TRIES + 1)] == [True] * TRIES + [False]
    attempts.end(keys, 1.0, failed=False)
    assert [attempts.begin(keys, 2.0) for _ in range(2)] == [True, False]


def test_only_so_many_passwords_are_looked_at_at_once() -> None:
    attempts = Attempts()
    keys = [(f"name {n}", f"address {n}") for n in range(UNDER_WAY + 1)]
    assert [attempts.begin(one, 1.0) for one in keys] == [True] * UNDER_WAY + [False]
    attempts.end(keys[0], 1.0, failed=True)
    assert attempts.begin(keys[-1], 1.0)


def test_of_names_that_were_tried_long_ago_nothing_is_remembered() -> None:
    attempts = Attempts()
    for n in range(5_000):
        keys = (f"name {n}", "address 1" if n % 2 else f"address {n}")
        if attempts.begin(keys, float(n)):
            attempts.end(keys, float(n), failed=True)
    assert attempts.remembered <= 2 * (WINDOW_S + 1)


async def test_a_slow_viewer_finds_the_newest_of_each_order_and_is_told_when_that_was_too_much() -> None:
    viewer, one = Viewer(), Viewer("O-3")
    for n in range(BOX + 2):
        for kind in ("started", "completed"):
            event = Event(f"orders.order-{kind}.v1", f"{n}-{kind}", f"O-{n}", None, n, None, {})
            viewer.offer(event)
            one.offer(event)
    changed, missed = await viewer.changes(0.01)
    assert (len(changed), missed) == (BOX, True)
    assert {event.name for event in changed} == {"order-completed"}
    assert [event.key for event in (await one.changes(0.01))[0]] == ["O-3"]
    assert await viewer.changes(0.01) == ([], False)


def event_of(n: int) -> Event:
    return Event("orders.order-started.v1", f"{n}", f"O-{n}", None, n, None, {})


async def test_what_came_between_a_page_and_its_stream_is_told_on_the_stream() -> None:
    hub = Hub(load_settings({}).client, "console")
    hub.tell(event_of(1))
    made = hub.mark
    hub.tell(event_of(2))
    async with hub.viewer(None, made) as late, hub.viewer("O-1", made) as other, hub.viewer() as fresh:
        assert [event.key for event in (await late.changes(0.01))[0]] == ["O-2"]
        assert await other.changes(0.01) == ([], False)
        hub.tell(event_of(3))
        assert [event.key for event in (await fresh.changes(0.01))[0]] == ["O-3"]
    async with hub.viewer(None, hub.mark) as current:
        assert await current.changes(0.01) == ([], False)


@pytest.mark.parametrize("mark", ["", "of-another-console-7", "nonsense", "-1"])
async def test_a_page_of_another_console_or_of_long_ago_is_told_to_load_again(mark: str) -> None:
    hub = Hub(load_settings({}).client, "console")
    old = hub.mark
    for n in range(KEPT + 1):
        hub.tell(event_of(n))
    async with hub.viewer(None, mark) as stranger, hub.viewer(None, old) as late:
        assert await stranger.changes(0.01) == ([], True)
        assert await late.changes(0.01) == ([], True)


@pytest.mark.parametrize(
    ("order_id", "address"),
    [
        ("O 1/x", "/orders/O%201%2Fx"),
        (".", "/orders/?id=."),
        ("..", "/orders/?id=.."),
        ("a/../b", "/orders/a%2F..%2Fb"),
    ],
)
def test_every_id_has_an_address_that_a_browser_leaves_as_it_is(order_id: str, address: str) -> None:
    assert link("orders", order_id) == address
