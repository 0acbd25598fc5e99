"""Sends orders by their schedule and counts each to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from contracts.topics import ORDERS_EVENTS
from orderctl.client import utc_now
from orderctl.command import Command, wire_of
from orderctl.errors import ApiError, ApiUnreachableError, NotFoundError
from orderctl.events import ENDED_STATUSES, RawRecord, type_of
from orderctl.load.book import RELEVANT, Book
from orderctl.load.plan import OrderScript
from orderctl.load.record import Recorder
from orderctl.load.result import LoadResult, Progress
from orderctl.transport import Transport

OnProgress = Callable[[Progress], None]
#: Awaited when everything has been sent; the run's time begins anew after it.
AllSent = Callable[[], Awaitable[None]]
#: Asks the query API for an order.
LookUp = Callable[[str], Awaitable[dict[str, Any]]]

_BATCH: Final = 500
_POLL_S: Final = 0.1
_TELL_EVERY_S: Final = 0.2
_LOOK_UP_EVERY_S: Final = 1.0
_LOOK_UPS_AT_ONCE: Final = 16
_LEAST_PAUSE_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Pace:
    """`paced`: each order at its own time, whatever happens. Else as fast as possible with at most `max_open` unfinished.
    `timeout_s`: how long the rest may take after the last one was sent; `retry_s`: how long the broker may be away."""

    paced: bool
    max_open: int
    timeout_s: float
    retry_s: float


class Engine:
    """One run over a transport. `look_up` finds the end of orders that had begun before."""

    def __init__(
        self,
        transport: Transport,
        total: int,
        pace: Pace,
        recorder: Recorder,
        on_progress: OnProgress | None = None,
        look_up: LookUp | None = None,
        all_sent: AllSent | None = None,
    ) -> None:
        self._transport = transport
        self._pace = pace
        self._recorder = recorder
        self._on_progress = on_progress
        self._look_up = look_up
        self._all_sent = all_sent
        self._book = Book(total)
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = self._last_change = self._loop.time()
        self._lookup_error: str | None = None

    async def run(self, scripts: Iterator[OrderScript]) -> LoadResult:
        """Send all and wait for all; returns also when some did not end in time (`unfinished`).
        Raises `BrokerUnreachableError` when the broker stayed away for too long."""
        await self._transport.listen((ORDERS_EVENTS,))
        self._began = self._last_change = self._loop.time()
        sender = asyncio.create_task(self._send_all(scripts))
        asker = asyncio.create_task(self._ask_for_the_unclear())
        try:
            await self._hear_until_done(sender)
        finally:
            sender.cancel()
            asker.cancel()
            await asyncio.gather(sender, asker, return_exceptions=True)
            self._recorder.flush()
        if self._on_progress is not None:
            self._on_progress(self._book.progress(self._elapsed_s()))
        return self._book.result(self._last_change - self._began, self._lookup_error)

    def _elapsed_s(self) -> float:
        return self._loop.time() - self._began

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send_all(self, scripts: Iterator[OrderScript]) -> None:
        following = next(scripts, None)
        while following is not None:
            now = self._loop.time()
            commands: list[Command] = []
            while following is not None and len(commands) < _BATCH:
                intended_at = self._began + following.due_s if self._pace.paced else now
                if intended_at > now or (not self._pace.paced and self._book.open >= self._pace.max_open):
                    break
                self._book.sent(following, intended_at)
                commands += following.commands
                following = next(scripts, None)
            if commands:
                # What falls due while the broker acknowledges goes into the next batch: batches grow with the load.
                await self._send(commands)
            elif self._pace.paced and following is not None:
                await asyncio.sleep(max(_LEAST_PAUSE_S, self._began + following.due_s - now))
            else:
                self._room.clear()
                await self._room.wait()
        if self._all_sent is not None:
            await self._all_sent()
            self._began = self._last_change = self._loop.time()

    async def _send(self, commands: list[Command]) -> None:
        now = utc_now()
        wires = [wire_of(command, await self._transport.partitions_of(command.topic), now) for command in commands]
        self._recorder.commands(commands)
        self._recorder.flush()
        await self._transport.publish(wires, self._pace.retry_s)
        self._recorder.acknowledged(commands)

    # --- hearing ------------------------------------------------------------------------------------------------------

    async def _hear_until_done(self, sender: asyncio.Task[None]) -> None:
        told_at, sent_at = 0.0, None
        while True:
            records = await self._transport.read(_POLL_S)
            now = self._loop.time()
            for raw in records:
                self._hear(raw, now)
            if self._on_progress is not None and now - told_at > _TELL_EVERY_S:
                told_at = now
                self._on_progress(self._book.progress(now - self._began))
            if not sender.done():
                continue
            sender.result()
            sent_at = sent_at or now
            if not self._book.open or now - sent_at > self._pace.timeout_s:
                return

    def _hear(self, raw: RawRecord, now: float) -> None:
        key, value = raw.key, raw.value
        if key is None or value is None or not self._book.knows(key):
            return
        event_type = type_of(raw)
        if event_type is None:
            return
        self._book.reach(key, event_type, now)
        if event_type not in RELEVANT:
            return
        facts = self._book.hear(key, event_type.decode(), from_json(value)["data"], now)
        if facts:
            self._changed(now)
            self._recorder.heard(facts)

    def _changed(self, now: float) -> None:
        self._last_change = now
        if self._book.open < self._pace.max_open:
            self._room.set()

    # --- orders from before -------------------------------------------------------------------------------------------

    async def _ask_for_the_unclear(self) -> None:
        while self._look_up is not None:
            await asyncio.sleep(_LOOK_UP_EVERY_S)
            waiting = list(self._book.unclear)
            for start in range(0, len(waiting), _LOOK_UPS_AT_ONCE):
                await asyncio.gather(
                    *(self._ask(self._look_up, key) for key in waiting[start : start + _LOOK_UPS_AT_ONCE])
                )

    async def _ask(self, look_up: LookUp, order_id: str) -> None:
        try:
            order = await look_up(order_id)
        except (ApiUnreachableError, ApiError, NotFoundError) as error:
            # Asked again in a second; told at the end if the order stays open.
            self._lookup_error = str(error)
            return
        outcome = ENDED_STATUSES.get(str(order.get("status")))
        if outcome is not None:
            self._recorder.heard(self._book.looked_up(order_id, outcome, order.get("reason"), order.get("total_minor")))
            self._changed(self._loop.time())
