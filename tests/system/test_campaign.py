"""Campaigns: worlds made from seeds, in which everything goes wrong that can. What they found once is played again for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from messaging.ports import Wire
from simulation.campaign.cli import BROKEN, PASSED, main
from simulation.campaign.hooks import FaultyPublisher
from simulation.campaign.kinds import KINDS, planned
from simulation.campaign.make import make
from simulation.campaign.many import Campaign, OtherCampaignError, work
from simulation.campaign.run import play
from simulation.campaign.script import Script, dump, parse, read
from simulation.campaign.shrink import shrink

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.json"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_campaign_found_once_does_not_come_back(path: Path) -> None:
    result = play(read(path))
    assert result.broken == ()
    never = planned(read(path)) - result.happened.keys()
    assert not never, "the script no longer does what it was kept for"


def test_a_script_survives_being_written_down() -> None:
    assert parse(dump(make(7))) == make(7)


def test_a_seed_makes_the_same_world_whatever_the_hashes_of_the_interpreter_are() -> None:
    command = [sys.executable, "-m", "simulation", "hash", "--seeds", "40:44", "--orders", "12"]
    found = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().splitlines()) == 4


def test_every_kind_of_fault_is_planned_by_some_seed() -> None:
    plans: Counter[str] = Counter()
    for seed in range(100):
        plans.update(planned(make(seed)))
    assert set(KINDS) == plans.keys()


def test_a_campaign_keeps_every_promise_and_everything_that_was_planned_happens(tmp_path: Path) -> None:
    campaign = Campaign(0, 40, 40)
    campaign.run(2, lambda running: running.save(tmp_path / "campaign.json"))
    assert campaign.tally.failures == {}
    assert campaign.tally.never == []
    assert campaign.tally.orders > 1_400
    assert campaign.verdict == "passed"


def test_a_campaign_that_was_interrupted_goes_on_with_what_is_left(tmp_path: Path) -> None:
    path, campaign = tmp_path / "campaign.json", Campaign(0, 30, 2)
    campaign.tally.add(work(0, 10, 2))
    campaign.save(path)
    again = Campaign(0, 30, 2)
    again.resume(path)
    assert list(again.pieces()) == [(10, 20), (20, 30)]
    assert (again.tally.orders, again.tally.happened) == (campaign.tally.orders, campaign.tally.happened)
    assert again.tally.hashes == campaign.tally.hashes
    assert again.verdict == "unfinished"
    with pytest.raises(OtherCampaignError):
        Campaign(0, 40, 2).resume(path)


def test_what_was_planned_and_never_happened_makes_a_campaign_invalid() -> None:
    campaign = Campaign(0, 10, 2)
    campaign.tally.hashes[0] = ""
    campaign.tally.planned["zombie"] = 1
    assert campaign.verdict == "invalid"
    campaign.tally.happened["zombie"] = 1
    assert campaign.verdict == "passed"


#: A shop, two orders, and much that has nothing to do with what goes wrong.
LONG = Script(
    1,
    (
        ("say", "nut", "inventory.receive-stock.v1", {"sku": "nut", "quantity": 9, "unit_price_minor": 7}, "c-1"),
        ("say", "ann", "customer.register-customer.v1", {"customer_id": "ann", "name": "A", "email": "a@b"}, "c-2"),
        ("steps", 40),
        (
            "say",
            "O-1",
            "orders.start-order.v1",
            {"customer_id": "ann", "items": [{"sku": "nut", "quantity": 1}]},
            "c-3",
        ),
        ("steps", 90),
        ("crash", "payment"),
        ("pass", 5),
        ("arm", "publish-lost", "orders"),
        ("say", "O-1", "orders.approve-payment.v1", {"approved_by": "boss"}, "c-4"),
        ("hold", "customer", "orders.events.v1", 5),
        ("say", "O-2", "orders.cancel-order.v1", {"reason": "no"}, "c-5"),
        ("steps", 90),
    ),
    partitions=2,
)


async def believes_that_it_is_there(self: FaultyPublisher, wires: Sequence[Wire]) -> list[int]:
    """The mistake: what was lost counts as published."""
    if self._faults.takes("publish-lost", self._service):
        return [-1] * len(wires)
    return await self._publisher.publish(wires)


def test_a_script_that_fails_is_shrunk_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(LONG).broken == ()
    monkeypatch.setattr(FaultyPublisher, "publish", believes_that_it_is_there)
    assert "history-is-published" in play(LONG).rules
    short = shrink(LONG)
    assert [entry[0] for entry in short.entries] == ["arm", "say", "steps"]
    assert short.partitions == 1
    monkeypatch.undo()
    assert play(short).broken == ()


def test_a_script_is_replayed_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script.json"
    path.write_text(dump(LONG))
    assert main(["replay", str(path)]) == PASSED
    assert "every promise held" in capsys.readouterr().out


def test_a_command_whose_seed_fails_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "script.json"
    path.write_text(dump(LONG))
    monkeypatch.setattr(FaultyPublisher, "publish", believes_that_it_is_there)
    assert main(["replay", str(path)]) == BROKEN
    assert "BROKEN history-is-published" in capsys.readouterr().out
