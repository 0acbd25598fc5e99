"""A world that differs is lived a second time, and only one that differs again is told as different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proof import conform
from proof.conformance.replay import DifferentError


def outcomes(monkeypatch: pytest.MonkeyPatch, *found: DifferentError | dict[str, int]) -> None:
    """Let the next worlds come to these ends."""
    ends: Iterator[DifferentError | dict[str, int]] = iter(found)

    async def lived(*_: object) -> dict[str, int]:
        end = next(ends)
        if isinstance(end, DifferentError):
            raise end
        return end

    monkeypatch.setattr(conform, "conform", lived)
    monkeypatch.setattr(conform, "live", lambda number: number)


async def judged(number: int) -> dict[str, Any]:
    result: dict[str, Any] = {"worlds": 0, "histories": 0, "calls": 0, "different": [], "only_once": []}
    await conform._judge(number, [], result)
    return result


SAME = {"worlds": 1, "histories": 4, "calls": 900}


async def test_a_world_that_is_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, SAME)
    assert await judged(7) == {**SAME, "different": [], "only_once": []}


async def test_a_world_that_differs_once_counts_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, DifferentError("no answer in time"), SAME)
    assert await judged(7) == {**SAME, "different": [], "only_once": [{"world": 7, "why": "no answer in time"}]}


async def test_a_world_that_differs_twice_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, DifferentError("a row"), DifferentError("the same row"))
    found = await judged(7)
    assert found["different"] == [{"world": 7, "why": "the same row"}]
    assert (found["worlds"], found["only_once"]) == (0, [])
