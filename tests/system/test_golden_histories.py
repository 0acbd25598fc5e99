"""Histories that were recorded are decided again as they were: an order in flight ends on the workflow that it began with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.orders.domain import enrichment, signals
from services.orders.domain.decide import TABLE
from services.orders.domain.policies import DEFAULTS
from services.orders.domain.signals import SUPPORTED_VERSIONS
from services.orders.domain.state import ENDED, Phase
from simulation import golden
from simulation.stories import ENRICHING, SETS

FOLDER = Path(__file__).parent.parent / "golden"
FILES = sorted(FOLDER.glob("*/*.json"))

_UNASKED = (Phase.NEW, Phase.ENRICHING)
_UNPAID = (*_UNASKED, Phase.RESERVING, Phase.AWAITING_APPROVAL)
_NOBODY_ASKED = "where there is no order nobody has asked"
#: The cells of the table that no conversation reaches. They stand in it all the same, so that it is closed.
UNREACHABLE: dict[str, tuple[tuple[Phase, ...], str]] = {
    "CustomerFound": ((Phase.NEW,), _NOBODY_ASKED),
    "StockChecked": ((Phase.NEW,), _NOBODY_ASKED),
    "Recommended": ((Phase.NEW,), _NOBODY_ASKED),
    "CustomerUnknown": (
        (Phase.NEW, Phase.RESERVING, Phase.AWAITING_APPROVAL, Phase.PAYING, Phase.COMPENSATING, Phase.COMPLETED),
        "the first such answer ends the order with nothing held, and a customer who was found stays known",
    ),
    "StockReserved": (_UNASKED, "nothing is reserved before the order is enriched"),
    "ReservationRefused": (_UNASKED, "nothing is reserved before the order is enriched"),
    "ReservationExpired": (
        (*_UNASKED, Phase.RESERVING),
        "nothing is held before anybody asked, and inventory tells that it holds before it tells that the hold is over",
    ),
    "StockReleased": ((*_UNASKED, Phase.RESERVING), "nothing is released before anything was held"),
    "ChargeCaptured": (_UNPAID, "nothing is charged before the approval"),
    "ChargeFailed": (_UNPAID, "nothing is charged before the approval"),
    "ChargeUnknown": (_UNPAID, "nothing is charged before the approval"),
    "VoidFailed": (_UNPAID, "nothing is charged before the approval"),
    "ChargeDeclined": ((*_UNPAID, Phase.COMPLETED), "as before, and a charge that was declined is never captured"),
    "ChargeVoided": ((*_UNPAID, Phase.COMPLETED), "as before, and a charge that was voided is never captured"),
    "Refunded": (
        (*_UNPAID, Phase.PAYING, Phase.COMPLETED, Phase.FAILED),
        "only what was captured is refunded, and an order that was captured is completed or cancelled",
    ),
    "RefundFailed": (
        (*_UNPAID, Phase.PAYING, Phase.COMPLETED, Phase.FAILED),
        "only what was captured is refunded, and an order that was captured is completed or cancelled",
    ),
    "TimerFired": ((Phase.NEW, *ENDED), "there is no timer yet, and the end cancels it"),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_decided_once_is_decided_again(path: Path) -> None:
    found = golden.differences(golden.read(path))
    if found:
        told = "\n".join(found[:10])
        more = f"\n... and {len(found) - 10} more" if len(found) > 10 else ""
        pytest.fail(f"{path.name} is decided otherwise now:\n{told}{more}\n\n{golden.ADVICE}", pytrace=False)


def test_there_are_histories_of_every_version_and_every_scenario_has_one() -> None:
    assert {f"v{version}" for version in SUPPORTED_VERSIONS} <= SETS.keys()
    expected = {(name, title) for name, (_, scenarios) in SETS.items() for title in scenarios}
    missing = expected - {(path.parent.name, path.stem) for path in FILES}
    assert not missing, f"record them: python -m simulation.golden record {FOLDER.name}: {sorted(missing)}"
    assert len(FILES) >= 60


def test_every_cell_of_the_table_that_can_be_reached_is_in_the_histories() -> None:
    reached = {
        (type(message.data).__name__, Phase.NEW if before.order is None else before.order.phase)
        for path in FILES
        for _, before, message, _ in golden.replay(golden.read(path))
    }
    cells = {(message.__name__, phase) for message, row in TABLE.items() for phase in row}
    unreachable = {(name, phase) for name, (phases, _) in UNREACHABLE.items() for phase in phases}
    assert reached <= cells
    assert reached & unreachable == set(), "this can be reached after all: take it off the list"
    assert cells - reached - unreachable == set(), "add a scenario to simulation/stories.py, or a reason here"


def test_a_change_of_a_policy_is_found_and_told_step_by_step() -> None:
    slower = replace(DEFAULTS, charge=replace(DEFAULTS.charge, initial_interval_s=3.0))
    found = golden.differences(golden.read(FOLDER / "v1" / "gateway-away.json"), slower)
    assert found[0].startswith("step ")
    assert "while PAYING" in found[0]
    assert any("    - retry_at: " in told and "    + retry_at: " in told for told in found)


def test_a_step_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def asks_nobody_for_recommendations(*arguments: Any) -> Any:
        move = enrich(*arguments)
        return replace(move, says=move.says[:-1])

    enrich = enrichment.enrich
    monkeypatch.setattr(signals, "enrich", asks_nobody_for_recommendations)
    (told,) = golden.differences(golden.read(FOLDER / "v2" / "completed.json"))
    assert "orders.start-order.v1 while NEW: says" in told
    assert '    - {"type": "recommendation.recommend.v1"' in told
    assert "    + " not in told


def test_recording_keeps_what_is_there_and_records_the_same_again(tmp_path: Path) -> None:
    scenario = ENRICHING["unknown-customer"]
    path = tmp_path / "history.json"
    golden.write(path, scenario, golden.play(scenario, 2))
    with pytest.raises(FileExistsError):
        golden.write(path, scenario, [])
    again = tmp_path / "again.json"
    golden.write(again, scenario, golden.play(scenario, 2))
    assert again.read_bytes() == path.read_bytes()


def test_a_history_that_breaks_a_promise_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden.System, "audit", lambda self: ["a breach"])
    with pytest.raises(ValueError, match="is not golden"):
        golden.play(ENRICHING["unknown-customer"], 2)
