"""A client of the system: send commands, hear their verdicts, follow orders.

The client listens before it sends, from the ends of all partitions, so that no verdict is missed. It belongs to no consumer
group and leaves nothing behind at the broker.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
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


class Client:
    """Use it as `async with connect(transport, topics) as client`."""

    def __init__(self, transport: Transport, publish_timeout_s: float = 30.0) -> None:
        self._transport = transport
        self._publish_timeout_s = publish_timeout_s
        self._subscriptions: list[Subscription] = []
        self._verdicts: defaultdict[tuple[str, str], asyncio.Future[Verdict]] = defaultdict(
            asyncio.get_running_loop().create_future
        )
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
            for future in self._verdicts.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # nobody may be waiting, and that is no fault
            raise

    def _hand_out(self, event: Event) -> None:
        for subscription in self._subscriptions:
            if subscription.key is None or subscription.key == event.key:
                subscription.put(event)
        verdict = read_verdict(event)
        if verdict is not None:
            future = self._verdicts.get((verdict.key, verdict.command_id))
            if future is not None and not future.done():
                future.set_result(verdict)

    async def send(self, command: Command) -> None:
        """Put the command on its topic; returns when the broker has it. Its verdict is kept for `verdict`.
        Raises `BrokerUnreachableError`; the outcome is then unknown, and sending it again is harmless."""
        await self.send_all([command])

    async def send_all(self, commands: Sequence[Command]) -> None:
        """Put the commands on their topics, in order for each key. See `send`."""
        wires = []
        for command in commands:
            _ = self._verdicts[command.key, command.id]
            wires.append(wire_of(command, await self._transport.partitions_of(command.topic), utc_now()))
        await self._transport.publish(wires, self._publish_timeout_s)

    async def verdict(self, key: str, command_id: str, timeout_s: float) -> Verdict:
        """The verdict on a command that was sent by this client. Raises `NoVerdictError`."""
        if self._failure is not None:
            raise self._failure
        future = self._verdicts[key, command_id]
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout_s)
        except TimeoutError:
            raise NoVerdictError(command_id, timeout_s, "answering") from None

    async def ask(self, command: Command, timeout_s: float) -> Verdict:
        """Send the command and wait for its verdict. Raises `NoVerdictError`, `BrokerUnreachableError`."""
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
