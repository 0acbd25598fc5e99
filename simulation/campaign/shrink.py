"""Makes a script that breaks a promise as short as it can be: whatever can be left out, while it still breaks it, is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from simulation.campaign.run import Result, play
from simulation.campaign.script import Script

#: So often is it tried to leave something out.
MOST_RUNS: Final = 400


def shrink(script: Script, most_runs: int = MOST_RUNS, tell: Callable[[str], object] = lambda line: None) -> Script:
    """A shorter script that breaks one of the same rules. The same one where it breaks none."""
    broken = play(script).rules
    left = most_runs

    def fails(candidate: Script) -> bool:
        nonlocal left
        left -= 1
        result: Result = play(candidate)
        return not broken.isdisjoint(result.rules)

    if not broken:
        return script
    size = max(1, len(script.entries) // 2)
    while left > 0:
        before = len(script.entries)
        # What comes late needs what comes early: the last ones first.
        end = before
        while end > 0 and left > 0:
            candidate = script.with_entries(script.entries[: max(0, end - size)] + script.entries[end:])
            script = candidate if fails(candidate) else script
            end -= size
        tell(f"{len(script.entries)} entries left")
        if size == 1 and len(script.entries) == before:
            break
        size = max(1, size // 2)
    for plainer in (
        replace(script, partitions=1),
        replace(script, failure_rate=0.0),
        replace(script, ahead={}),
        replace(script, old=False),
    ):
        if left > 0 and plainer != script and fails(plainer):
            return shrink(plainer, left, tell)
    return script
