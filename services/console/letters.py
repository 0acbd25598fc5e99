"""Dead letters for the pages: read and settled by the very code of `orderctl dlq`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from contracts.letters import Act, Letter
from orderctl.letters import book
from orderctl.letters.book import DeadLetter, Wanted
from orderctl.letters.sending import Result, settle
from orderctl.settings import Settings
from orderctl.transport import KafkaTransport

#: So long an answer is good for everybody who asks: many readers are one reading of the topics.
GOOD_FOR_S: Final = 2.0
#: So much of a record is held for all the pages: a flood of large ones must not fill the memory.
HELD_BYTES: Final = 8 * 1024
#: Letters a second, and how long the last one's answer is waited for.
RATE: Final = 50.0
ANSWER_WITHIN_S: Final = 20.0
#: One press settles so many letters, the oldest first: a page is waited for.
AT_ONCE: Final = 200


class Letters:
    """Nothing is kept open: a page that few look at has a connection of its own while it is made. `reached` raises where Kafka is
    away."""

    def __init__(self, settings: Settings, identity: str, reached: Callable[[], Awaitable[None]]) -> None:
        self._settings = settings
        self._reached = reached
        self._identity = f"{identity}-letters"
        self._reading = asyncio.Lock()
        self._known: list[DeadLetter] = []
        self._known_until = 0.0

    async def all(self) -> list[DeadLetter]:
        """Every dead letter with what became of it, oldest first, and of long ones the beginning. Raises `OrderctlError`."""
        # Where the console knows already that nobody answers, nobody waits for a connection of his own.
        await self._reached()
        now = asyncio.get_running_loop().time
        async with self._reading:
            if now() >= self._known_until:
                self._known = await self._read(Wanted(), frozenset())
                self._known_until = now() + GOOD_FOR_S
            return self._known

    async def whole(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """The same letters, with all of their bytes. Raises `OrderctlError`."""
        long = frozenset(one.letter for one in letters if one.left_out)
        if not long:
            return list(letters)
        read = {one.letter: one for one in await self._read(Wanted(names=long), long)}
        return [read.get(one.letter, one) for one in letters]

    async def _read(self, wanted: Wanted, whole: frozenset[Letter]) -> list[DeadLetter]:
        transport = self._transport()
        try:
            records = await transport.read_all(
                book.topics_for(wanted), lambda record: book.shortened(record, HELD_BYTES, whole)
            )
        finally:
            await transport.close()
        # Thousands of records are put together elsewhere: the streams go on meanwhile.
        return await asyncio.to_thread(book.read_letters, records)

    async def settle(self, letters: Sequence[DeadLetter], act: Act, operator: str, reason: str) -> list[Result]:
        """Say the word about each, and what was answered. Raises `OrderctlError`."""
        if act == "replay":
            letters = await self.whole(letters)
        transport = self._transport()
        try:
            return [one async for one in settle(transport, letters, act, operator, reason, RATE, ANSWER_WITHIN_S)]
        finally:
            self._known_until = 0.0
            await transport.close()

    def _transport(self) -> KafkaTransport:
        return KafkaTransport(self._settings.bootstrap_servers, self._identity, self._settings.connect_timeout_s)
