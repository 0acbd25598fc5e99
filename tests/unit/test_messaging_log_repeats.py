"""Lines that a library repeats."""

from __future__ import annotations

import logging

import pytest

from messaging.log_repeats import OnceInAWhile

LINE = "Unable connect to node with id %s: %s"


class Clock:
    """Seconds, as the test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def record(name: str, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def once(clock: Clock) -> OnceInAWhile:
    return OnceInAWhile({"aiokafka"}, 5.0, clock)


def test_the_same_line_with_other_arguments_is_told_once_in_a_while_and_says_how_many_were_left_out(
    once: OnceInAWhile, clock: Clock
) -> None:
    assert once.filter(record("aiokafka", LINE, 1, "refused"))
    assert not once.filter(record("aiokafka", LINE, 1, "refused"))
    assert not once.filter(record("aiokafka", LINE, 2, "closed"))
    clock.now += 5
    again = record("aiokafka", LINE, 1, "refused")
    assert once.filter(again)
    assert again.getMessage() == "Unable connect to node with id 1: refused (2 more like it since the last)"
    clock.now += 5
    alone = record("aiokafka", LINE, 1, "refused")
    assert once.filter(alone)
    assert alone.getMessage() == "Unable connect to node with id 1: refused"


def test_another_line_is_told_at_once(once: OnceInAWhile) -> None:
    assert once.filter(record("aiokafka", LINE, 1, "refused"))
    assert once.filter(record("aiokafka", "Marking the coordinator dead (node %s)", 1))
    assert once.filter(record("aiokafka.consumer", LINE, 1, "refused"))


def test_our_own_lines_are_all_told(once: OnceInAWhile) -> None:
    assert all(once.filter(record("messaging.host", "no-session")) for _ in range(3))
