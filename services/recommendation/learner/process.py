"""The learner's process: settings, HTTP, signals, and an end within ten seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any, Final

from aiokafka.errors import KafkaError

from contracts.topics import RECOMMENDATION_LEARNER
from messaging.app import announce
from messaging.errors import SettingsError, TopicMismatchError
from messaging.http import make_app, serve
from messaging.kafka import check_topics
from messaging.logs import configure, get_logger, load_log_settings
from messaging.otlp import load_trace_settings, open_traces
from messaging.settings import Settings, load_settings
from messaging.version import code_version
from services.recommendation.learner.app import Learner, topics_of_learner
from services.recommendation.learner.meters import LearnerMeters

log = get_logger(__name__)

STOP_DEADLINE_S: Final = 8.0
EXIT_BAD_SETTINGS: Final = 2
RETRY_S: Final = 0.5


def main() -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code: 2 for wrong settings or topics, 1 for what a new start may mend."""
    try:
        settings = load_settings(RECOMMENDATION_LEARNER)
        configure(load_log_settings(), settings.service, settings.identity)
        return asyncio.run(_serve(settings))
    except (SettingsError, TopicMismatchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS


async def _serve(settings: Settings) -> int:
    announce(settings)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    meters = LearnerMeters()
    traces = open_traces(load_trace_settings(), settings.service, settings.identity)
    learner = Learner(settings, meters, None if traces is None else traces.tracer)
    about = {
        "service": settings.service,
        "identity": settings.identity,
        "version": code_version("recommendation"),
        "task_queue": settings.task_queue,
    }

    async def ready() -> bool:
        return learner.ready

    # Alive while it runs: it ends by itself once it makes no progress.
    app = make_app((), meters.registry, ready, lambda: not learner.failed.done(), about)
    http = await serve(app, settings.http_host, settings.http_port)
    try:
        if not await _topics_there(settings, stopped):
            return 0
        return await _run(learner, stopped)
    finally:
        await http.cleanup()
        if traces is not None:
            await asyncio.to_thread(traces.close)


async def _topics_there(settings: Settings, stopped: asyncio.Event) -> bool:
    """Wait for the broker, then see that the topics are as the contract says. False: stopped meanwhile."""
    while not stopped.is_set():
        try:
            await check_topics(settings, topics_of_learner())
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("broker-not-there-yet", error=error)
            await asyncio.sleep(RETRY_S)
        else:
            return True
    return False


async def _run(learner: Learner, stopped: asyncio.Event) -> int:
    """Learn until told to stop, or until something failed that only a new start mends."""
    loop = asyncio.get_running_loop()
    app = learner.app
    starting = asyncio.create_task(app.start())
    telling = asyncio.create_task(learner.tell())
    looking = asyncio.create_task(learner.watch())
    failing = asyncio.create_task(_failure(learner))
    stop = asyncio.create_task(stopped.wait())
    working: set[asyncio.Task[Any]] = {starting, telling, looking, failing, stop}
    while True:
        done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        if starting in done and starting.exception() is None:
            working.discard(starting)
            continue
        break
    code = 0 if stopped.is_set() else 1
    for task in done - {stop}:
        log.error("learning-failed", exc_info=_error_of(task))
    # Whatever is down, the process is gone in time: what is not settled is read again by the next owner.
    loop.call_later(STOP_DEADLINE_S, _give_up, code)
    for task in (telling, looking, failing):
        task.cancel()
    await asyncio.gather(telling, looking, failing, return_exceptions=True)
    if code:
        # After a failure nothing that Faust would still do is wanted; above all no commit.
        os._exit(code)
    await app.stop()
    return code


async def _failure(learner: Learner) -> object:
    """Returns what failed, once something did."""
    while not learner.failed.done():
        if learner.app.crashed:
            return learner.app.crash_reason
        await asyncio.sleep(0.2)
    return learner.failed.result()


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What ended the task, also where it found it out and returned it."""
    error = task.exception() or task.result()
    return error if isinstance(error, BaseException) else None


def _give_up(code: int) -> None:
    log.warning("stop-took-too-long")
    os._exit(code)
