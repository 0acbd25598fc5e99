"""The edge of a process: settings, logging, event loop, migrations, HTTP and signals, the same way for every service."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import uvloop
from prometheus_client.registry import Collector

from messaging import crash_points
from messaging.errors import MessagingError, SettingsError, TopicMismatchError
from messaging.handler import Handler, NoEffects, Performer
from messaging.host import Host
from messaging.late_http import Answers, Routes, answering
from messaging.logs import configure, get_logger, load_log_settings
from messaging.meters import Meters
from messaging.otlp import load_trace_settings, open_traces
from messaging.postgres import PostgresStores
from messaging.progress import ProcessProgress, failure
from messaging.safe_text import safe_text
from messaging.settings import Settings, load_settings
from messaging.spread import DatabaseUrls, prepare
from messaging.version import code_version

if TYPE_CHECKING:
    from aiohttp import web

log = get_logger(__name__)

STOP_DEADLINE_S: Final = 9.0
EXIT_BAD_SETTINGS: Final = 2
#: So many more objects are made than freed before the collector looks at the young ones.
GC_YOUNG: Final = 50_000


@dataclass(frozen=True)
class Service:
    """A service, wired: what the runtime needs to run it. `patient`: the topics for whose records nobody waits, so that they may
    be read in gulps. `ready`: whether what it needs beside the runtime is there. `begin`: what it does once its database is there,
    before it reads anything. `metrics`: its own. `ends`: the events that end what a key is about, for its trace. `routes`: its
    queries, which it imports when they are asked for, and not before."""

    name: str
    topics: tuple[str, ...]
    migrations: Path
    handler: Handler
    locking: bool = False
    patient: frozenset[str] = frozenset()
    performer: Performer = field(default_factory=NoEffects)
    routes: Routes = tuple
    close: Callable[[], Awaitable[None]] | None = None
    ready: Callable[[], bool] = lambda: True
    metrics: Collector | None = None
    begin: Callable[[], Awaitable[None]] | None = None
    ends: frozenset[str] = frozenset()


@dataclass(frozen=True)
class QueryService:
    """A process that only answers queries. `ready` says whether it can."""

    migrations: Path
    routes: Sequence[web.RouteDef]
    ready: Callable[[], Awaitable[bool]]
    close: Callable[[], Awaitable[None]]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


def run(process: str, build: Callable[[Settings], Awaitable[Service]]) -> int:
    """Run a service's process until SIGTERM or SIGINT. Returns its exit code; 2 means that settings or topics are wrong."""
    return _guarded(lambda: load_settings(process), lambda settings: _serve(settings, build))


def run_queries(process: str, service: str, build: Callable[[Settings], Awaitable[QueryService]]) -> int:
    """Run a process that answers queries over `service`'s database, until SIGTERM or SIGINT."""
    return _guarded(lambda: load_settings(process, service), lambda settings: _serve_queries(settings, build))


def _guarded(load: Callable[[], Settings], main: Callable[[Settings], Coroutine[Any, Any, int]]) -> int:
    try:
        settings = load()
        configure(load_log_settings(), settings.service, settings.identity)
        return uvloop.run(main(settings))
    except (SettingsError, TopicMismatchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS


def announce(settings: Settings) -> None:
    """Say who this process is: in the logs, and to people on stdout too, however little the logs are asked to tell."""
    _print_for_people(f"{settings.identity} on task queue {settings.task_queue}, group {settings.group_id}")
    log.info("started", task_queue=settings.task_queue, group=settings.group_id)


def _print_for_people(line: str) -> None:
    # Who collects JSON gets nothing else: there the line `started` says the same.
    if load_log_settings().format == "console":
        print(line, flush=True)


async def _serve(settings: Settings, build: Callable[[Settings], Awaitable[Service]]) -> int:
    stopped = _on_signals()
    announce(settings)
    crash_points.arm(settings.service, settings.session_timeout_ms)
    meters = Meters(settings.service)
    traced = load_trace_settings()
    service = await build(settings)
    if service.metrics is not None:
        meters.registry.register(service.metrics)
    traces = open_traces(traced, settings.service, settings.identity, service.ends)
    state: list[Host] = []
    flows = asyncio.Event()

    async def ready() -> bool:
        return bool(state) and state[0].ready and service.ready()

    told = ProcessProgress(settings, service.topics)

    async def progress(ask: bool) -> dict[str, Any]:
        return await _progress(told, state[0] if state else None, await ready(), ask)

    answers = Answers(
        about={
            "service": settings.service,
            "identity": settings.identity,
            "version": told.version,
            "task_queue": settings.task_queue,
        },
        registry=meters.registry,
        routes=service.routes,
        ready=ready,
        alive=lambda: not state or state[0].alive,
        progress=progress,
    )
    async with AsyncExitStack() as at_the_end:
        if traces is not None:
            at_the_end.push_async_callback(asyncio.to_thread, traces.close)
        if service.close is not None:
            at_the_end.push_async_callback(service.close)
        await at_the_end.enter_async_context(
            answering(settings, answers, flows, _spare_garbage_collection, stopped.set)
        )
        if not await _migrated(settings, service.migrations, stopped, told):
            return 0
        if service.begin is not None:
            await service.begin()
        stores = PostgresStores(settings.database_of, service.locking)
        at_the_end.callback(stores.close)
        host = Host(
            settings,
            service.handler,
            service.performer,
            stores.of,
            SystemClock(),
            meters,
            service.patient,
            None if traces is None else traces.tracer,
            flows,
        )
        state.append(host)
        _spare_garbage_collection()
        return await _until_stopped(host, stopped)


async def _progress(told: ProcessProgress, host: Host | None, ready: bool, ask: bool) -> dict[str, Any]:
    """What `/progress` says; before there is a host, why there is none yet. `ask`: the broker, where the topics end now."""
    if host is None:
        return told.tell("starting", ready, [], datetime.now(UTC))
    told.last_error = host.last_error
    partitions = await host.progress(ask)
    return told.tell("working" if host.joined else "joining", ready, partitions, datetime.now(UTC))


async def _until_stopped(host: Host, stopped: asyncio.Event) -> int:
    working = asyncio.create_task(host.run())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
        return 1
    await host.stop()
    await working
    return 0


def _give_up() -> None:
    log.warning("stop-took-too-long")
    os._exit(0)


async def _migrated(
    settings: Settings, migrations: Path, stopped: asyncio.Event, told: ProcessProgress | None = None
) -> bool:
    """Bring the databases up to date, waiting for them where they are not there yet, and saying so. False: stopped meanwhile."""
    name = DatabaseUrls(settings.service).name
    while not stopped.is_set():
        migrating, waiting = (
            asyncio.create_task(prepare(name, settings.database_urls, migrations)),
            asyncio.create_task(stopped.wait()),
        )
        await asyncio.wait({migrating, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not migrating.done():
            migrating.cancel()
            return False
        try:
            applied = migrating.result()
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            log.warning("database-not-there-yet", error=error)
            if told is not None:
                told.last_error = failure(error, datetime.now(UTC), "the database is not there yet")
            await asyncio.sleep(0.5)
            continue
        except asyncpg.PostgresError as error:
            raise MessagingError(f"the database {settings.service} cannot be migrated: {safe_text(error)}") from error
        for name in applied:
            log.info("migration-applied", migration=name)
        return True
    return False


async def _serve_queries(settings: Settings, build: Callable[[Settings], Awaitable[QueryService]]) -> int:
    stopped = _on_signals()
    where = f"{settings.http_host}:{settings.http_port}"
    _print_for_people(f"{settings.identity} answers queries on {where}")
    log.info("started", task_queue=settings.task_queue, where=where)
    version = code_version(settings.service)  # at the start: the files may change while it runs
    meters = Meters(settings.service)
    service = await build(settings)
    migrated = False

    async def ready() -> bool:
        return migrated and await service.ready()

    def alive() -> bool:
        # It does nothing of its own that could stand still: who gets this answer has seen that it answers. A database that is away
        # is a matter of readiness; a restart would not bring it back.
        return True

    about = {"service": settings.service, "identity": settings.identity, "version": version}
    from messaging.http import make_app, serve  # noqa: PLC0415 - workers import this module, and need no HTTP at first

    http = await serve(
        make_app(service.routes, meters.registry, ready, alive, about), settings.http_host, settings.http_port
    )
    _spare_garbage_collection()
    try:
        migrated = await _migrated(settings, service.migrations, stopped)
        await stopped.wait()
        return 0
    finally:
        await http.cleanup()
        await service.close()


def _spare_garbage_collection() -> None:
    """Nearly everything here is freed by its reference count; what the collector would look through again and again are the orders
    in memory. At its default threshold it took a tenth of the process, in pauses of up to half a second. While a process is
    imported it is off (`__main__`): it is on from here, which comes within seconds, whatever has to be waited for."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 100)
    gc.enable()


def _on_signals() -> asyncio.Event:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        stopped.set()
        # Whatever is down, the process is gone in time: what is not finished is in the database.
        loop.call_later(STOP_DEADLINE_S, _give_up)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopped
