"""Every point of the runtime meets every service, in every way; what is left out is what a service never does."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import services
from chaos.cells import FREEZE, IMPOSSIBLE, SERVICES, Cell, every_cell, fast, long
from contracts.topics import SUBSCRIPTIONS
from messaging.crash_points import KINDS, POINTS


def used_from_decision(service: str) -> set[str]:
    """What the service's modules take from the runtime's words for a decision."""
    found: set[str] = set()
    for path in (Path(services.__path__[0]) / service).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "messaging.decision":
                found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_only_what_a_service_never_does_is_left_out(service: str) -> None:
    left_out = {point for name, point in IMPOSSIBLE if name == service}
    used = used_from_decision(service)
    assert ("after-timer-claim" in left_out) == ("SetTimer" not in used)
    assert ("before-effect" in left_out) == ("after-effect" in left_out) == ("Effect" not in used)


def test_the_long_plan_has_every_cell_as_often_as_asked() -> None:
    cells = Counter((cell.service, cell.point, cell.kind) for round_ in long("1", 3) for cell in round_)
    assert cells == {(cell.service, cell.point, cell.kind): 3 for kind in KINDS for cell in every_cell(kind)}
    assert len(cells) == (len(SERVICES) * len(POINTS) - len(IMPOSSIBLE)) * len(KINDS)


def test_the_fast_plan_kills_at_every_point_and_has_every_kind() -> None:
    plan = fast("1")
    assert Counter(cell.point for cell in plan if cell.kind == "kill") == dict.fromkeys(POINTS, 1)
    assert {cell.kind for cell in plan} == set(KINDS)
    assert all((cell.service, cell.point) not in IMPOSSIBLE for cell in plan)
    assert len({cell.service for cell in plan if cell.kind == FREEZE}) == 1, "each needs a second process"


def test_the_same_seed_gives_the_same_cells() -> None:
    assert fast("7") == fast("7")
    assert long("7", 1) == long("7", 1)
    assert isinstance(fast("7")[0], Cell)
