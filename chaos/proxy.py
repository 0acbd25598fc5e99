"""A TCP proxy between one process and one of its backends, which can be told to misbehave as networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from chaos.wire import Seen, Watch

LOOPBACK: Final = "127.0.0.1"
#: A connection that is closed so is reset, instead of being ended in an orderly way.
_NO_GOODBYE: Final = struct.pack("ii", 1, 0)


class Proxy:
    """One way. `connect` makes the connection to the backend; the process connects to `port` instead of it.

    It counts what it did: a fault that met nobody has not happened.
    """

    def __init__(self, name: str, watch: Callable[[], Watch], connect: Callable[[Any], Any]) -> None:
        self.name = name
        self.port = 0
        self.delay_s = 0.0
        self.stalled = False
        self.late_bytes = 0
        self.lost_bytes = 0
        self.swallowed: asyncio.Future[None] | None = None
        self._watch = watch
        self._connect = connect
        self._ways: set[_Way] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port of the loopback address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Way(self).client, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more and end every connection."""
        if self._server is not None:
            self._server.close()
        for way in list(self._ways):
            way.abort()

    @property
    def connections(self) -> int:
        """How many go through now."""
        return sum(1 for way in self._ways if not way.silent)

    def cut(self) -> int:
        """Reset every connection, both ways; returns how many there were."""
        ways = [way for way in self._ways if not way.silent]
        for way in ways:
            way.abort()
        return len(ways)

    def half_open(self) -> int:
        """From now on nothing passes on the connections that there are, and neither side is told; new ones work."""
        ways = [way for way in self._ways if not way.silent]
        for way in ways:
            way.silent = True
        return len(ways)

    def stall(self) -> None:
        """Keep everything back until `release`."""
        self.stalled = True

    def release(self) -> None:
        """Let pass what was kept back, and delay no more."""
        self.stalled, self.delay_s = False, 0.0
        for way in list(self._ways):
            way.release()

    def swallow(self) -> asyncio.Future[None]:
        """The next answer that the watch waits for never arrives; its connection is reset instead. Done when that has happened."""
        self.swallowed = asyncio.get_running_loop().create_future()
        return self.swallowed

    def spare(self) -> None:
        """Swallow nothing any more."""
        self.swallowed = None

    # --- for the ways -------------------------------------------------------------------------------------------------

    def watch(self) -> Watch:
        """A new watch, for a new connection."""
        return self._watch()

    async def connect(self, way: _Way) -> None:
        """Make the way's connection to the backend. Raises `OSError`."""
        await self._connect(lambda: way.server)

    def opened(self, way: _Way) -> None:
        """This way goes through us from now on."""
        self._ways.add(way)

    def ended(self, way: _Way) -> None:
        """This way is over."""
        self._ways.discard(way)


class _End(asyncio.Protocol):
    """One end of a way: the transport to the process or to the backend, and what still has to be written to it."""

    def __init__(self, way: _Way) -> None:
        self.transport: asyncio.Transport | None = None
        self._way = way
        # What came before the connection was made.
        self._early: list[bytes] = []
        self._late: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by duck typing alone.
        self.transport = cast(asyncio.Transport, transport)
        for data in self._early:
            self._send(data)
        self._way.made(self)

    def data_received(self, data: bytes) -> None:
        self._way.heard(self, data)

    def pause_writing(self) -> None:
        self._way.hold(self, True)

    def resume_writing(self) -> None:
        self._way.hold(self, False)

    def connection_lost(self, error: Exception | None) -> None:
        self._way.lost()

    def write(self, data: bytes, delay_s: float, stalled: bool) -> bool:
        """Write now, or later; returns whether later. What is late stays in order."""
        if self.transport is None:
            self._early.append(data)
            return False
        if not self._late and not stalled and delay_s == 0:
            self._send(data)
            return False
        due = asyncio.get_running_loop().time() + delay_s
        self._late.append((max(due, self._late[-1][0] if self._late else due), data))
        if not stalled:
            self._schedule()
        return True

    def release(self) -> None:
        """Write all that was late."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._late:
            self._send(self._late.popleft()[1])

    def _schedule(self) -> None:
        if self._timer is None and self._late:
            self._timer = asyncio.get_running_loop().call_at(self._late[0][0], self._due)

    def _due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._late and self._late[0][0] <= now:
            self._send(self._late.popleft()[1])
        self._schedule()

    def _send(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


class _Way:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.client, self.server = _End(self), _End(self)
        self.silent = False
        self._proxy = proxy
        self._watch = proxy.watch()
        self._said, self._answered = self._watch.splitters()
        self._held: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def made(self, end: _End) -> None:
        assert end.transport is not None
        if end is self.client:
            self._proxy.opened(self)
            self._connecting = asyncio.get_running_loop().create_task(self._reach())
        elif self.client.transport is None or self.client.transport.is_closing():
            end.transport.abort()

    async def _reach(self) -> None:
        try:
            await self._proxy.connect(self)
        except OSError:
            self.abort()

    def heard(self, end: _End, data: bytes) -> None:
        if self.silent:
            self._proxy.lost_bytes += len(data)
            return
        if end is self.client:
            messages = self._said.feed(data)
            for message in messages:
                self._watch.request(message)
            self._pass(self.server, messages)
            return
        passing: list[bytes] = []
        for message in self._answered.feed(data):
            seen = self._watch.answer(message)
            self._held.append(message)
            if seen is Seen.MAYBE:
                continue
            swallowed = self._proxy.swallowed
            if seen is Seen.ANSWER and swallowed is not None and not swallowed.done():
                swallowed.set_result(None)
                self.abort()
                return
            passing += self._held
            self._held = []
        self._pass(self.client, passing)

    def _pass(self, end: _End, messages: list[bytes]) -> None:
        if messages:
            data = b"".join(messages)
            if end.write(data, self._proxy.delay_s, self._proxy.stalled):
                self._proxy.late_bytes += len(data)

    def hold(self, full: _End, stop: bool) -> None:
        """Whoever writes faster than the other reads has to wait."""
        source = self.server if full is self.client else self.client
        if source.transport is not None and not source.transport.is_closing():
            if stop:
                source.transport.pause_reading()
            else:
                source.transport.resume_reading()

    def release(self) -> None:
        self.client.release()
        self.server.release()

    def lost(self) -> None:
        """One end is gone: so is the other, unless nothing is told on this way any more."""
        if not self.silent:
            self._end(_close)
        elif all(end.transport is None or end.transport.is_closing() for end in (self.client, self.server)):
            self._proxy.ended(self)

    def abort(self) -> None:
        """Reset both ends."""
        self._end(_reset)

    def _end(self, how: Callable[[asyncio.Transport], None]) -> None:
        self._proxy.ended(self)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        for end in (self.client, self.server):
            if end.transport is not None and not end.transport.is_closing():
                how(end.transport)


def _close(transport: asyncio.Transport) -> None:
    transport.close()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_GOODBYE)
    transport.abort()
