"""`python -m audit.watcher`: the watcher's process; `/metrics`, `/healthz` and `/readyz` on port 8021."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from audit.watcher.watcher import Settings, Watcher
from contracts.topics import SUBSCRIPTIONS
from messaging.errors import SettingsError
from messaging.http import make_app, serve
from messaging.logs import configure, get_logger, load_log_settings
from messaging.secure import SETTINGS as SECURITY
from messaging.secure import load_kafka_security
from messaging.setting import Number, Setting
from messaging.settings import BOOTSTRAP_SERVERS, HTTP_HOST, LOGGING, PARTITIONS, TASK_QUEUE, http_port
from messaging.spread import DatabaseUrls

log = get_logger(__name__)

DATABASES: Final = (*SUBSCRIPTIONS, "gateway")
DATABASE_URLS: Final = {name: DatabaseUrls(name, f"the database of {name}") for name in DATABASES}
EVERY_S: Final = Number("WATCH_EVERY_S", 15, 0.1, 3_600, "how often the watcher looks")
REST_S: Final = Number("WATCH_REST_S", 60, 0, 3_600, "after its end an order counts as being at rest")
SETTINGS: Final[tuple[Setting, ...]] = (
    BOOTSTRAP_SERVERS,
    *SECURITY,
    *DATABASE_URLS.values(),
    PARTITIONS,
    TASK_QUEUE,
    EVERY_S,
    REST_S,
    HTTP_HOST,
    http_port("watcher"),
    *LOGGING,
)


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """From the names that the services have, and `WATCH_EVERY_S`, `WATCH_REST_S`. Raises `SettingsError`."""
    load_kafka_security(env)
    return Settings(
        bootstrap_servers=BOOTSTRAP_SERVERS.read(env),
        databases={name: url.read(env) for name, url in DATABASE_URLS.items()},
        partitions=PARTITIONS.read(env),
        every_s=EVERY_S.read(env),
        rest_s=REST_S.read(env),
        task_queue=TASK_QUEUE.read(env),
    )


def load_address(env: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Where it serves HTTP. Raises `SettingsError`."""
    return HTTP_HOST.read(env), http_port("watcher").read(env)


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
        host, port = load_address()
        configure(load_log_settings(), "watcher", f"watcher-{os.getpid()}")
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_serve(settings, host, port))


if __name__ == "__main__":
    raise SystemExit(main())
