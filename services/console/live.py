"""The way to Kafka and back for all pages: one client, which comes back after an outage, and any number of viewers.

A viewer has a small box of the orders that changed since it last looked. Who is slow finds the newest state of each there, never a
queue that grows; who missed more than the box holds is told to load the page again. What came between the making of a page and its
stream, or between two streams of a page, is remembered for a while: a page says up to where it knows (`Hub.mark`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, Self

from messaging.logs import get_logger
from orderctl.client import Client, Subscription, connect
from orderctl.command import Command
from orderctl.errors import OrderctlError
from orderctl.events import Event, Verdict
from orderctl.settings import Settings
from orderctl.transport import KafkaTransport

log = get_logger(__name__)

BOX: Final = 500
#: So many events are remembered for pages that come, or come again.
KEPT: Final = 2_000
RETRY_S: Final = 1.0
VERDICT_WITHIN_S: Final = 15.0
CONNECTED_WITHIN_S: Final = 0.8
#: To connect, to look and to let go have deadlines of seconds each: who is at one of them for so long will not come back.
HANGS_AFTER_S: Final = 60.0


class NotConnectedError(OrderctlError):
    """The console has no connection to Kafka; it goes on trying."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(
            f"The console has no connection to Kafka at {bootstrap_servers}; it goes on trying. Nothing was sent."
        )


class Viewer:
    """What changed since the viewer last looked: the last event of each order."""

    def __init__(self, order_id: str | None = None) -> None:
        self.order_id = order_id
        self.missed = False
        self._changed: OrderedDict[str, Event] = OrderedDict()
        self._something = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Take note of an event, if it concerns the viewer."""
        if self.order_id is not None and event.key != self.order_id:
            return
        self._changed[event.key] = event
        self._changed.move_to_end(event.key)
        if len(self._changed) > BOX:
            self._changed.popitem(last=False)
            self.missed = True
        self._something.set()

    def wake(self, missed: bool) -> None:
        """The stream was interrupted (`missed`), or is there again."""
        self.missed = self.missed or missed
        self._something.set()

    async def changes(self, timeout_s: float) -> tuple[list[Event], bool]:
        """What changed, at the latest after the timeout, and whether something was missed."""
        try:
            await asyncio.wait_for(self._something.wait(), timeout_s)
        except TimeoutError:
            return [], False
        self._something.clear()
        found, self._changed = list(self._changed.values()), OrderedDict()
        missed, self.missed = self.missed, False
        return found, missed


class Hub:
    """One client for all pages. Use it as `async with`; until the broker is there, `ask` says so."""

    def __init__(self, settings: Settings, identity: str) -> None:
        self._settings = settings
        self._identity = identity
        self._viewers: set[Viewer] = set()
        self._client: Client | None = None
        self._there = asyncio.Event()
        self._recent: deque[Event] = deque(maxlen=KEPT)
        self._count = 0
        #: Another one with each connection: what happened before it is not known.
        self._times = secrets.token_hex(4)
        self._running: asyncio.Task[None] | None = None
        self._tried_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether it works on hearing events: it looks for them, or tries to connect, again and again."""
        if self._running is None or self._running.done():
            return False
        looked_at = self._tried_at if self._client is None else self._client.looked_at
        return time.monotonic() - looked_at < HANGS_AFTER_S

    @property
    def connected(self) -> bool:
        """Whether events come."""
        return self._client is not None

    @property
    def viewers(self) -> int:
        """How many pages are listening."""
        return len(self._viewers)

    @property
    def mark(self) -> str:
        """Up to where the stream has come."""
        return f"{self._times}-{self._count}"

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._tried_at = time.monotonic()
            transport = KafkaTransport(
                self._settings.bootstrap_servers, self._identity, self._settings.connect_timeout_s
            )
            try:
                async with connect(transport) as client:
                    self._client = client
                    self._there.set()
                    self._times = secrets.token_hex(4)
                    self._recent.clear()
                    log.info("stream-connected")
                    self._wake(missed=True)
                    await self._hand_out(client.follow())
            except (OrderctlError, OSError, TimeoutError) as error:
                log.warning("stream-lost", error=error, retry_in_s=RETRY_S)
            finally:
                self._client, self._tried_at = None, time.monotonic()
                self._there.clear()
                self._wake(missed=False)
            await asyncio.sleep(RETRY_S)

    def _wake(self, missed: bool) -> None:
        for viewer in self._viewers:
            viewer.wake(missed)

    async def _hand_out(self, events: Subscription) -> None:
        async for event in events:
            self.tell(event)

    def tell(self, event: Event) -> None:
        """Remember an event and tell it to every viewer."""
        self._count += 1
        self._recent.append(event)
        for viewer in self._viewers:
            viewer.offer(event)

    @asynccontextmanager
    async def viewer(self, order_id: str | None = None, since: str | None = None) -> AsyncIterator[Viewer]:
        """A page that listens, to all orders or to one. `since`: the mark up to which it knows; None: up to now."""
        viewer = Viewer(order_id)
        if since is not None and since != self.mark:
            self._catch_up(viewer, since)
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    def _catch_up(self, viewer: Viewer, since: str) -> None:
        times, _, count = since.partition("-")
        behind = self._count - int(count) if times == self._times and count.isdecimal() else len(self._recent) + 1
        if behind > len(self._recent):
            viewer.wake(missed=True)
            return
        for event in islice(self._recent, len(self._recent) - behind, None):
            viewer.offer(event)

    async def reached(self) -> None:
        """Return once Kafka is connected. Raises `NotConnectedError` where it is not within a moment: a page waits no longer."""
        try:
            await asyncio.wait_for(self._there.wait(), CONNECTED_WITHIN_S)
        except TimeoutError:
            raise NotConnectedError(self._settings.bootstrap_servers) from None

    def client(self) -> Client:
        """The client, for who sends many commands. Raises `NotConnectedError` while there is none."""
        if self._client is None:
            raise NotConnectedError(self._settings.bootstrap_servers)
        return self._client

    async def ask(self, command: Command) -> Verdict:
        """Send a command and wait for its verdict. Raises `NotConnectedError`, `BrokerUnreachableError`, `NoVerdictError`."""
        return await self.client().ask(command, VERDICT_WITHIN_S)
