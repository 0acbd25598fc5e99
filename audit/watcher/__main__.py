"""`python -m audit.watcher`: the watcher's process; `/metrics`, `/healthz` and `/readyz` on port 8021."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from audit.watcher.watcher import Settings, Watcher
from contracts.ports import WATCHER_PORT
from contracts.topics import DEFAULT_PARTITIONS, SUBSCRIPTIONS
from messaging.errors import SettingsError
from messaging.http import make_app, serve
from messaging.logs import configure, get_logger, load_log_settings
from messaging.secure import database_url
from messaging.settings import integer, number, text

log = get_logger(__name__)

DATABASES: Final = (*SUBSCRIPTIONS, "gateway")


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """From the names that the services have, and `WATCH_EVERY_S`, `WATCH_REST_S`. Raises `SettingsError`."""
    return Settings(
        bootstrap_servers=text(env, "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        databases={name: database_url(env, name) for name in DATABASES},
        partitions=integer(env, "TOPIC_PARTITIONS", DEFAULT_PARTITIONS, 1, 1000),
        every_s=number(env, "WATCH_EVERY_S", 15, 0.1, 3_600),
        rest_s=number(env, "WATCH_REST_S", 60, 0, 3_600),
    )


async def _serve(settings: Settings, host: str, port: int) -> int:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number_, stopped.set)
    watcher = Watcher(settings)

    async def ready() -> bool:
        return watcher.looked_at is not None

    http = await serve(make_app((), watcher.registry, ready, lambda: watcher.alive, {"service": "watcher"}), host, port)
    log.info("started", where=f"{host}:{port}")
    looking, waiting = asyncio.create_task(watcher.run()), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({looking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()
        return 0
    finally:
        for task in (looking, waiting):
            task.cancel()
        await asyncio.gather(looking, waiting, return_exceptions=True)
        await watcher.close()
        await http.cleanup()


def main() -> int:
    """Until SIGTERM or SIGINT. 2: a setting is wrong."""
    try:
        settings = load_settings()
        host = text(os.environ, "HTTP_HOST", "127.0.0.1")
        port = integer(os.environ, "HTTP_PORT", WATCHER_PORT, 0, 65535)
        configure(load_log_settings(), "watcher", f"watcher-{os.getpid()}")
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_serve(settings, host, port))


if __name__ == "__main__":
    raise SystemExit(main())
