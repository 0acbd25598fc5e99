"""Words about letters on their way, and what is answered. That a word is sent is told first, so that nobody sends it twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from contracts.envelope import Unreadable, decode_event, encode, event_type
from contracts.letters import Act, Letter, LetterAnswered, LetterAsked, Outcome, Word, bare_headers, word_headers
from contracts.registry import TYPE_OF
from contracts.topics import LETTERS_EVENTS, SUBSCRIPTIONS
from contracts.values import is_id
from messaging.decoding import MAX_PUBLISHED_BYTES
from messaging.ports import Wire, size_of
from orderctl.command import SOURCE
from orderctl.letters.book import DeadLetter, State
from orderctl.transport import Transport

PUBLISH_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.5
_CHUNK: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one letter in this run. `outcome` None: it was sent, and no answer came in time; `skipped` says why nothing
    was sent, `impossible` that nothing ever can be."""

    letter: DeadLetter
    outcome: Outcome | None = None
    error: str | None = None
    waiting: int = 0
    skipped: str | None = None
    impossible: bool = False


def skipped(letter: DeadLetter, act: Act, again: bool) -> Result | None:
    """Why no word is sent about this letter now; None where one is."""
    if letter.state in (State.REPLAYED, State.DISCARDED):
        return Result(letter, skipped=f"it is {letter.state} already")
    if act == "replay" and letter.truncated is not None:
        why = f"it was too large to be kept whole ({letter.truncated}): its sender has to send it again"
        return Result(letter, skipped=why, impossible=True)
    if act == "replay" and size_of(letter.key, letter.value, letter.headers) + letter.left_out > MAX_PUBLISHED_BYTES:
        return Result(letter, skipped="it is too large for its topic", impossible=True)
    if letter.state is State.ASKED and not again:
        asked = letter.told[-1]
        when = "" if asked.at is None else f" at {asked.at.isoformat(timespec='seconds')}"
        why = f"{asked.what.act} was asked for by {asked.what.operator}{when} and is not answered yet"
        return Result(letter, skipped=f"{why}; --again sends it once more, which is harmless")
    return None


def chunks(letters: Iterable[DeadLetter], most: int) -> Iterable[list[DeadLetter]]:
    """The letters in their order, some at a time. What is published together keeps its order within a topic only: letters of a
    key that came from several topics go one after another."""
    chunk: list[DeadLetter] = []
    for letter in letters:
        crosses = any(
            (one.letter.service, one.key) == (letter.letter.service, letter.key)
            and one.letter.topic != letter.letter.topic
            for one in chunk
        )
        if chunk and (crosses or len(chunk) >= most):
            yield chunk
            chunk = []
        chunk.append(letter)
    if chunk:
        yield chunk


async def settle(
    transport: Transport,
    letters: Sequence[DeadLetter],
    act: Act,
    operator: str,
    reason: str,
    rate: float,
    timeout_s: float,
) -> AsyncIterator[Result]:
    """Say the word about each letter, at most `rate` a second, and tell what is answered as it comes; a letter whose answer
    has not come `timeout_s` after the last word was sent comes last. Raises `BrokerUnreachableError`."""
    await transport.listen([LETTERS_EVENTS])
    waiting: dict[Letter, DeadLetter] = {}
    for chunk in chunks(letters, max(1, min(_CHUNK, int(rate)))):
        spoken = [one for one in chunk if act == "replay" or one.lane is not None]
        await transport.publish([_asked(one, act, operator, reason) for one in chunk], PUBLISH_TIMEOUT_S)
        if spoken:
            await transport.publish([_word(one, act, operator, reason) for one in spoken], PUBLISH_TIMEOUT_S)
        silent = [one for one in chunk if one not in spoken]
        if silent:
            # Nothing waits behind these and nobody has to act: that they are given up is all there is to it.
            await transport.publish([_discarded(one, operator, reason) for one in silent], PUBLISH_TIMEOUT_S)
        for one in chunk:
            if one.letter.service in SUBSCRIPTIONS or one in silent:
                waiting[one.letter] = one
            else:
                yield Result(one, "handled")
        async for result in _answers(transport, waiting, len(chunk) / rate):
            yield result
    async for result in _answers(transport, waiting, timeout_s, until_all=True):
        yield result
    for one in waiting.values():
        yield Result(one)


async def _answers(
    transport: Transport, waiting: dict[Letter, DeadLetter], for_s: float, until_all: bool = False
) -> AsyncIterator[Result]:
    """Answers that come within the time; what is answered does not wait any more."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + for_s
    while (left := deadline - clock()) > 0 and not (until_all and not waiting):
        for record in await transport.read(min(left, _POLL_S)):
            try:
                data = decode_event(event_type(record.value, record.headers), record.value).data
            except Unreadable:
                continue  # told by a newer system
            if isinstance(data, LetterAnswered) and (one := waiting.pop(data.letter, None)) is not None:
                yield Result(one, data.outcome, data.error, data.waiting)


def _word(one: DeadLetter, act: Act, operator: str, reason: str) -> Wire:
    headers = [*bare_headers(one.headers), *word_headers(Word(one.letter, act, operator, reason))]
    return Wire(0, one.letter.topic, one.letter.partition, one.key, one.value, "letter", headers)


def _asked(one: DeadLetter, act: Act, operator: str, reason: str) -> Wire:
    return _event(one, LetterAsked(**_about(one, act, operator, reason)))


def _discarded(one: DeadLetter, operator: str, reason: str) -> Wire:
    about = _about(one, "discard", operator, reason)
    return _event(one, LetterAnswered(**about, outcome="discarded", error=None, waiting=0))


def _about(one: DeadLetter, act: Act, operator: str, reason: str) -> dict[str, Any]:
    name = one.letter
    place = {"service": name.service, "topic": name.topic, "partition": name.partition, "offset": name.offset}
    return {**place, "act": act, "operator": operator, "reason": reason}


def _event(one: DeadLetter, data: LetterAsked | LetterAnswered) -> Wire:
    key = one.key_text if is_id(one.key_text) else one.letter.service
    named = TYPE_OF[type(data)][1]
    value = encode(
        id=uuid4().hex, source=SOURCE, type=named, subject=key, data=data, time=datetime.now(UTC), correlationid=key
    )
    return Wire(0, LETTERS_EVENTS, one.letter.partition, key.encode(), value, named)
