"""Whoever was away is met soon after it is back, however long that took; and one that stays away is not asked all the time."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from messaging.backoff import MOST_S, longer


def tries(first_s: float, until_s: float) -> list[float]:
    """When it is tried again, in seconds from the first failure."""
    waits = [first_s]
    while sum(waits) < until_s:
        waits.append(longer(waits[-1]))
    return list(accumulate(waits))


@given(st.floats(1, 3_600))
def test_it_is_met_after_a_third_of_the_time_for_which_it_was_away_and_five_seconds_at_most(away_s: float) -> None:
    met_after_s = tries(0.1, away_s)[-1] - away_s
    assert met_after_s <= min(away_s / 3 + 0.1, MOST_S) + 1e-6


def test_in_a_minute_it_is_tried_a_few_dozen_times_and_later_every_five_seconds() -> None:
    assert len(tries(0.1, 60)) < 30
    late = tries(0.1, 600)[-2:]
    assert round(late[1] - late[0], 3) == MOST_S
