"""What a form was answered waits for the page that shows it: for who sent it alone, not for ever, and a password only once."""

from __future__ import annotations

import pytest

from services.console.aside import KEPT_S, LONGEST, MOST, Aside, OneTime, Refusal, refusal_of
from services.console.store import Person

ADMIN = Person("admin", "operator", "csrf-1", one_time=False)
REFUSAL = Refusal(400, "Say why", {"sku": "S-1"})


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_refusal_is_found_as_often_as_it_is_looked_at_also_from_another_session() -> None:
    aside = Aside(Clock())
    token = aside.put(ADMIN, REFUSAL)
    other_session = Person("admin", "operator", "csrf-2", one_time=False)
    assert [aside.refusal(one, token) for one in (ADMIN, ADMIN, other_session)] == [REFUSAL] * 3


def test_a_password_is_told_once() -> None:
    aside = Aside(Clock())
    token = aside.put(ADMIN, OneTime("new", "secret"))
    assert aside.one_time(ADMIN, token) == OneTime("new", "secret")
    assert aside.one_time(ADMIN, token) is None


@pytest.mark.parametrize(
    "other", [Person("eve", "operator", "", one_time=False), Person("admin", "support", "", one_time=False)]
)
def test_nobody_else_gets_it_and_it_waits_for_who_may_have_it(other: Person) -> None:
    aside = Aside(Clock())
    refusal, password = aside.put(ADMIN, REFUSAL), aside.put(ADMIN, OneTime("new", "secret"))
    assert (aside.refusal(other, refusal), aside.one_time(other, password)) == (None, None)
    assert (aside.refusal(ADMIN, refusal), aside.one_time(ADMIN, password)) == (REFUSAL, OneTime("new", "secret"))


def test_a_password_is_no_refusal_and_is_not_lost_by_being_looked_for_as_one() -> None:
    aside = Aside(Clock())
    password = aside.put(ADMIN, OneTime("new", "secret"))
    assert aside.refusal(ADMIN, password) is None
    assert aside.one_time(ADMIN, password) is not None
    assert aside.refusal(ADMIN, "made-up") is None


def test_after_an_hour_it_is_forgotten_and_what_came_later_is_not() -> None:
    clock = Clock()
    aside = Aside(clock)
    early = aside.put(ADMIN, REFUSAL)
    clock.now_s = KEPT_S
    assert aside.refusal(ADMIN, early) == REFUSAL
    late = aside.put(ADMIN, REFUSAL)
    clock.now_s = KEPT_S + 1
    assert (aside.refusal(ADMIN, early), aside.refusal(ADMIN, late)) == (None, REFUSAL)


def test_of_more_than_are_kept_the_oldest_go_first() -> None:
    aside = Aside(Clock())
    first, *others = [aside.put(ADMIN, REFUSAL) for _ in range(MOST + 1)]
    assert aside.refusal(ADMIN, first) is None
    assert [aside.refusal(ADMIN, one) for one in others] == [REFUSAL] * MOST


def test_neither_tokens_nor_what_is_too_long_are_kept_with_a_refusal() -> None:
    form = {"csrf": "token", "step": "plan", "command_id": "c-1", "reason": "late"}
    assert refusal_of(409, "no plan", form) == Refusal(409, "no plan", {"reason": "late"})
    assert refusal_of(400, "too long", {"reason": "x" * (LONGEST + 1)}) == Refusal(400, "too long", {})
