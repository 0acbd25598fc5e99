"""What is looked at when all is over: the audit, from the sender's own record, and the dead letters (there must be none)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition

from chaos.errors import ChaosError, Exit
from contracts.topics import DEFAULT_PARTITIONS, dead_letter_topics
from devstack.settings import CLONE
from messaging.clients import make_reader

_SETTLE_S: Final = 60
_AUDIT_DEADLINE_S: Final = 240


@dataclass(slots=True)
class Verdict:
    """`violations`: promises that were broken; `invalid`: what was planned and did not happen."""

    violations: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)

    @property
    def exit(self) -> Exit:
        """A broken promise counts even where the run is invalid."""
        if self.violations:
            return Exit.VIOLATED
        return Exit.INVALID if self.invalid else Exit.OK


async def judge(env: Mapping[str, str], records: Sequence[Path], verdict: Verdict) -> None:
    """Add what the audit and the dead letters say. Raises `ChaosError` where the audit could not look."""
    argv = [sys.executable, "-m", "orderctl", "audit", "--json", "--expect-ended", "--settle-timeout", str(_SETTLE_S)]
    for record in records:
        argv += ["--record", str(record)]
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=CLONE, env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_AUDIT_DEADLINE_S):
        output, errors = await process.communicate()
    if process.returncode not in (0, 1):
        raise ChaosError(f"the audit could not look: {(output + errors).decode()[-2000:]}")
    verdict.audit = json.loads(output)
    verdict.violations += [f"{b['rule']}: {json.dumps(b)}" for b in verdict.audit["breaches"]]
    # An audit that found no rest left rules out.
    verdict.violations += [f"not at rest {_SETTLE_S} s after the end: {why}" for why in verdict.audit["restless"]]
    verdict.violations += [f"messages of {one['key']} wait at {one['service']}" for one in verdict.audit["parked"]]
    verdict.violations += [f"{count} dead letters on {topic}" for topic, count in (await _dead_letters(env)).items()]


async def _dead_letters(env: Mapping[str, str]) -> dict[str, int]:
    partitions = range(int(env.get("TOPIC_PARTITIONS", DEFAULT_PARTITIONS)))
    reader = make_reader(env["KAFKA_BOOTSTRAP_SERVERS"], "chaos")
    await reader.start()
    try:
        tps = [TopicPartition(topic, p) for topic, _ in dead_letter_topics() for p in partitions]
        ends = await reader.end_offsets(tps)
    finally:
        await reader.stop()
    counts: dict[str, int] = {}
    for tp, end in ends.items():
        if end:
            counts[tp.topic] = counts.get(tp.topic, 0) + end
    return counts
