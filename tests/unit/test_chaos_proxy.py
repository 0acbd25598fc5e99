"""The kill run's proxy passes everything on, and misbehaves only when it is told to, on real sockets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
import uvloop

from chaos.proxy import LOOPBACK, Proxy
from chaos.wire import ProduceWatch

#: How a connection that was reset shows to whoever goes on using it.
RESET = (ConnectionResetError, asyncio.IncompleteReadError)


def frame(api_key: int, correlation: int, rest: bytes = b"") -> bytes:
    body = struct.pack(">hhi", api_key, 7, correlation) + rest
    return struct.pack(">i", len(body)) + body


def answer_of(correlation: int) -> bytes:
    return struct.pack(">ii", 4, correlation)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, correlation: int, api_key: int = 0) -> bytes:
        self.writer.write(frame(api_key, correlation))
        return await self.reader.readexactly(8)


class Bench:
    """A broker that answers each frame with its correlation id, and the proxy before it."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.proxy = Proxy("a>b", ProduceWatch, self._connect)
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self._port = self._server.sockets[0].getsockname()[1]
        await self.proxy.start()

    async def _connect(self, protocol: object) -> None:
        await asyncio.get_running_loop().create_connection(protocol, LOOPBACK, self._port)  # type: ignore[call-overload]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                (correlation,) = struct.unpack_from(">i", await reader.readexactly(length), 4)
                self.heard.append(correlation)
                writer.write(answer_of(correlation))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection(LOOPBACK, self.proxy.port))

    def close(self) -> None:
        assert self._server is not None
        self.proxy.close()
        self._server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.start()
    yield found
    found.close()


async def test_what_nobody_disturbs_passes(bench: Bench) -> None:
    client = await bench.client()
    client.writer.write(frame(1, 1, b"x" * 300_000))
    assert await client.reader.readexactly(8) == answer_of(1)
    assert [await client.ask(number) for number in (2, 3)] == [answer_of(2), answer_of(3)]


async def test_a_cut_resets_all_connections_and_new_ones_work(bench: Bench) -> None:
    clients = [await bench.client() for _ in range(3)]
    for client in clients:
        await client.ask(1)
    assert bench.proxy.cut() == 3
    for client in clients:
        with pytest.raises(RESET):
            await client.ask(2)
    assert await (await bench.client()).ask(3) == answer_of(3)


async def test_the_answer_to_a_produce_is_swallowed_once_after_the_broker_has_done_it(bench: Bench) -> None:
    client, other = await bench.client(), await bench.client()
    swallowed = bench.proxy.swallow()
    assert await other.ask(1, api_key=3) == answer_of(1), "only Produce is meant"
    with pytest.raises(RESET):
        await client.ask(2)
    assert swallowed.done()
    assert bench.heard == [1, 2]
    assert await other.ask(3) == answer_of(3)


async def test_on_a_half_open_connection_nothing_arrives_and_nobody_is_told(bench: Bench) -> None:
    client = await bench.client()
    await client.ask(1)
    assert bench.proxy.half_open() == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.ask(2)
    assert bench.heard == [1]
    assert bench.proxy.lost_bytes > 0
    assert await (await bench.client()).ask(3) == answer_of(3)


async def test_what_is_stalled_arrives_in_order_after_the_release(bench: Bench) -> None:
    client = await bench.client()
    await client.ask(1)
    bench.proxy.stall()
    client.writer.write(frame(0, 2) + frame(0, 3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.reader.read(1)
    assert bench.proxy.late_bytes > 0
    bench.proxy.release()
    assert await client.reader.readexactly(16) == answer_of(2) + answer_of(3)


async def test_what_is_delayed_arrives_later_and_in_order(bench: Bench) -> None:
    client, clock = await bench.client(), asyncio.get_running_loop().time
    await client.ask(1)
    bench.proxy.delay_s = 0.1
    began = clock()
    client.writer.write(frame(0, 2))
    client.writer.write(frame(0, 3))
    assert await client.reader.readexactly(16) == answer_of(2) + answer_of(3)
    assert clock() - began >= 0.2, "there and back"


async def test_a_backend_that_is_away_ends_the_connection(bench: Bench) -> None:
    bench.close()
    await bench.proxy.start()
    client = await bench.client()
    with pytest.raises(RESET):
        await client.ask(1)


def test_what_is_said_before_the_backend_is_reached_arrives_on_the_loop_of_the_run_too() -> None:
    async def scenario() -> list[bytes]:
        bench = Bench()
        await bench.start()
        try:
            clients = [await bench.client() for _ in range(20)]
            return [await client.ask(number) for number, client in enumerate(clients)]
        finally:
            bench.close()

    assert uvloop.run(scenario()) == [answer_of(number) for number in range(20)]
