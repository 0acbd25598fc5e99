"""`python -m benchmarks.peers.usual SERVICE...`: run these services in one process; `READY_PORT` opens when they are ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import uvloop

from benchmarks.peers.usual.consumer import Consumer
from benchmarks.peers.usual.orchestrator import ORDERS
from benchmarks.peers.usual.participants import PARTICIPANTS
from benchmarks.peers.usual.shop import PREFIX, dsn_of


async def main(names: list[str]) -> None:
    """Until SIGTERM."""
    bootstrap = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    known = {service.name: service for service in (ORDERS, *PARTICIPANTS)}
    consumers = [Consumer(known[name], PREFIX, bootstrap, dsn_of(os.environ["PEER_DATABASES"], name)) for name in names]
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    running = asyncio.gather(*(consumer.run() for consumer in consumers))
    stopping = asyncio.create_task(stopped.wait())
    ready = asyncio.gather(*(consumer.ready.wait() for consumer in consumers))
    await asyncio.wait((running, stopping, ready), return_when=asyncio.FIRST_COMPLETED)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", int(os.environ["READY_PORT"]))
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if running.done():
        running.result()
    running.cancel()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
