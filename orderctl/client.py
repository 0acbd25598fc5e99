"""A client of the system: send commands, hear their verdicts, follow orders.

The client listens before it sends, from the ends of all partitions, so that no verdict is missed. It belongs to no consumer
group and leaves nothing behind at the broker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from contracts.topics import ORDERS_EVENTS
from orderctl.command import Command, wire_of
from orderctl.errors import NoVerdictError
from orderctl.events import Event, Verdict, read_event, read_verdict
from orderctl.transport import Transport

_POLL_S: Final = 0.5
_Item = Event | BaseException


def utc_now() -> datetime:
    """The time, UTC-aware."""
    return datetime.now(UTC)


class Subscription:
    """Events as they come, from the moment it was made; of one key, or of all. Iterating raises what ended the client."""

    def __init__(self, key: str | None, forget: Callable[[Subscription], None]) -> None:
        self.key = key
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._forget = forget

    def put(self, item: _Item) -> None:
        """Hand over an event, or the error that ends the subscription."""
        self._queue.put_nowait(item)

    def close(self) -> None:
        """No more events."""
        self._forget(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item


@dataclass(slots=True)
class _Kept:
    """The verdict on a command that was sent, once it is there, and how many wait for it."""

    verdict: asyncio.Future[Verdict]
    waiting: int = 0


class Client:
    """Use it as `async with connect(transport, topics) as client`."""

    def __init__(self, transport: Transport, publish_timeout_s: float = 30.0) -> None:
        self._transport = transport
        self._publish_timeout_s = publish_timeout_s
        self._subscriptions: list[Subscription] = []
        self._verdicts: dict[tuple[str, str], _Kept] = {}
        self._failure: Exception | None = None
        #: When it last looked whether something came (monotonic): seconds ago, whether or not there is a broker.
        self.looked_at = time.monotonic()

    async def pump(self) -> None:
        """Hand out events until cancelled. An error reaches everybody who waits."""
        try:
            while True:
                self.looked_at = time.monotonic()
                for raw in await self._transport.read(_POLL_S):
                    event = read_event(raw)
                    if event is not None:
                        self._hand_out(event)
        except Exception as error:  # whoever waits must not wait for ever; the error is theirs
            self._failure = error
            for subscription in self._subscriptions:
                subscription.put(error)
            for kept in self._verdicts.values():
                if not kept.verdict.done():
                    kept.verdict.set_exception(error)
                    kept.verdict.exception()  # nobody may be waiting, and that is no fault
            raise

    def _hand_out(self, event: Event) -> None:
        for subscription in self._subscriptions:
            if subscription.key is None or subscription.key == event.key:
                subscription.put(event)
        verdict = read_verdict(event)
        if verdict is not None:
            kept = self._verdicts.get((verdict.key, verdict.command_id))
            if kept is not None and not kept.verdict.done():
                kept.verdict.set_result(verdict)

    @property
    def kept(self) -> int:
        """How many commands it still keeps the verdict of, or the place for it."""
        return len(self._verdicts)

    def _keep(self, key: str, command_id: str) -> _Kept:
        known = self._verdicts.get((key, command_id))
        if known is None:
            known = self._verdicts[key, command_id] = _Kept(asyncio.get_running_loop().create_future())
        return known

    @contextmanager
    def _waiting(self, key: str, command_id: str, *, for_good: bool) -> Iterator[asyncio.Future[Verdict]]:
        """The verdict while somebody waits for it. Whoever is the last leaves nothing behind once it was told, and otherwise where
        nobody will come for it any more (`for_good`): a client may live as long as its process."""
        kept = self._keep(key, command_id)
        kept.waiting += 1
        try:
            yield kept.verdict
        finally:
            kept.waiting -= 1
            if not kept.waiting and (for_good or kept.verdict.done()):
                self._verdicts.pop((key, command_id), None)

    async def send(self, command: Command) -> None:
        """Put the command on its topic; returns when the broker has it. Its verdict is kept until `verdict` is asked for it.
        Raises `BrokerUnreachableError`; the outcome is then unknown, and sending it again is harmless."""
        await self.send_all([command])

    async def send_all(self, commands: Sequence[Command]) -> None:
        """Put the commands on their topics, in order for each key. See `send`."""
        wires = []
        for command in commands:
            self._keep(command.key, command.id)
            wires.append(wire_of(command, await self._transport.partitions_of(command.topic), utc_now()))
        await self._transport.publish(wires, self._publish_timeout_s)

    async def verdict(self, key: str, command_id: str, timeout_s: float) -> Verdict:
        """The verdict on a command that was sent by this client; it is told once. Raises `NoVerdictError`: one may ask again."""
        if self._failure is not None:
            raise self._failure
        with self._waiting(key, command_id, for_good=False) as verdict:
            try:
                return await asyncio.wait_for(asyncio.shield(verdict), timeout_s)
            except TimeoutError:
                raise NoVerdictError(command_id, timeout_s, "answering") from None

    async def ask(self, command: Command, timeout_s: float) -> Verdict:
        """Send the command and wait for its verdict. Raises `NoVerdictError`, `BrokerUnreachableError`."""
        with self._waiting(command.key, command.id, for_good=True):
            await self.send(command)
            try:
                return await self.verdict(command.key, command.id, timeout_s)
            except NoVerdictError:
                raise NoVerdictError(command.id, timeout_s, command.topic.partition(".")[0]) from None

    def follow(self, key: str | None = None) -> Subscription:
        """The events of one order (or SKU, or customer), or all of them, from this call on."""
        subscription = Subscription(key, self._subscriptions.remove)
        self._subscriptions.append(subscription)
        if self._failure is not None:
            subscription.put(self._failure)
        return subscription


@asynccontextmanager
async def connect(transport: Transport, topics: Sequence[str] = (ORDERS_EVENTS,)) -> AsyncIterator[Client]:
    """A client that hears these topics. Raises `BrokerUnreachableError`, `TopicMissingError`. It closes the transport."""
    try:
        await transport.listen(topics)
        client = Client(transport)
        pump = asyncio.create_task(client.pump())
        try:
            yield client
        finally:
            pump.cancel()
            # Its error, if it had one, has reached whoever waited.
            await asyncio.gather(pump, return_exceptions=True)
    finally:
        await transport.close()
