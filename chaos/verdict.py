"""What is looked at when all is over: the audit, from the sender's own record, and the dead letters: what was sent to be set aside,
and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos.errors import ChaosError, Exit
from contracts.topics import dead_letter_topics
from devstack.settings import CLONE
from orderctl.transport import KafkaTransport

_SETTLE_S: Final = 60
_CONNECT_S: Final = 60.0
_AUDIT_DEADLINE_S: Final = 240


@dataclass(slots=True)
class Verdict:
    """`violations`: promises that were broken; `invalid`: what was planned and did not happen. `broken`: the keys of records that
    nobody can read, sent on purpose, and whether the broker has acknowledged them."""

    violations: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    broken: dict[bytes, bool] = field(default_factory=dict)
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
    verdict.violations += list(misplaced(await _dead_letters(env), verdict.broken))


def misplaced(letters: Sequence[tuple[str, bytes | None]], broken: Mapping[bytes, bool]) -> Iterator[str]:
    """What is wrong with the dead letters, each a topic and a key: there that should not be, or not there that should. One may
    stand there twice: who is killed between publishing and remembering it publishes again."""
    for topic, count in Counter(topic for topic, key in letters if key not in broken).items():
        yield f"{count} dead letters on {topic}"
    for key in sorted({key for key, acknowledged in broken.items() if acknowledged} - {key for _, key in letters}):
        yield f"{key.decode()} cannot be read, and is no dead letter"


async def _dead_letters(env: Mapping[str, str]) -> list[tuple[str, bytes | None]]:
    transport = KafkaTransport(env["KAFKA_BOOTSTRAP_SERVERS"], "chaos", _CONNECT_S)
    try:
        found = await transport.read_all([topic for topic, _ in dead_letter_topics()])
    finally:
        await transport.close()
    return [(record.topic, record.key) for record in found]
