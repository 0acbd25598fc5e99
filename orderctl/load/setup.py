"""Shop commands that have to be answered before anything else is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from contracts.topics import CUSTOMER_EVENTS, INVENTORY_EVENTS
from orderctl.client import utc_now
from orderctl.command import Command, wire_of
from orderctl.errors import NoAnswersError
from orderctl.events import Verdict, read_event, read_verdict
from orderctl.load.record import Recorder
from orderctl.transport import Transport

OnAnswers = Callable[[int, int], None]
_BATCH: Final = 500
_POLL_S: Final = 0.1


async def ask_all(
    transport: Transport,
    commands: Sequence[Command],
    recorder: Recorder,
    timeout_s: float,
    retry_s: float,
    on_answers: OnAnswers | None = None,
) -> Mapping[str, Verdict]:
    """Send the commands and wait until each is answered; returns the answers by command id. `timeout_s` is how long nothing
    may come. Raises `NoAnswersError`, `BrokerUnreachableError`."""
    await transport.listen((INVENTORY_EVENTS, CUSTOMER_EVENTS))
    for start in range(0, len(commands), _BATCH):
        batch = commands[start : start + _BATCH]
        now = utc_now()
        wires = [wire_of(command, await transport.partitions_of(command.topic), now) for command in batch]
        recorder.commands(batch)
        recorder.flush()
        await transport.publish(wires, retry_s)
        recorder.acknowledged(batch)
    return await _answers(transport, {command.id for command in commands}, recorder, timeout_s, on_answers)


async def _answers(
    transport: Transport, waiting: set[str], recorder: Recorder, timeout_s: float, on_answers: OnAnswers | None
) -> Mapping[str, Verdict]:
    loop = asyncio.get_running_loop()
    asked, heard_at = len(waiting), loop.time()
    answers: dict[str, Verdict] = {}
    while waiting:
        for raw in await transport.read(_POLL_S):
            event = read_event(raw)
            verdict = read_verdict(event) if event is not None else None
            if verdict is None or verdict.command_id not in waiting:
                continue
            waiting.discard(verdict.command_id)
            answers[verdict.command_id] = verdict
            recorder.verdict(verdict.key, verdict.command_id, verdict.accepted, verdict.reason, verdict.duplicate)
            heard_at = loop.time()
        if on_answers is not None:
            on_answers(asked - len(waiting), asked)
        if waiting and loop.time() - heard_at > timeout_s:
            raise NoAnswersError(len(waiting), asked, timeout_s)
    recorder.flush()
    return answers
