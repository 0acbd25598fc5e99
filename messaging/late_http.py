"""HTTP that comes when messages flow already.

Whoever dies is waited for until its successor works, and nearly all of a start is imports. HTTP is a quarter of them, and no
message needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from messaging.settings import Settings
from messaging.waiting import until

if TYPE_CHECKING:
    from aiohttp import web

#: It waits no longer than this for messages to flow: who asks why they do not is told.
AFTER_S: Final = 1.0

Routes = Callable[[], "Sequence[web.RouteDef]"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a worker's process answers. `routes`: its own queries, imported when they are asked for. `progress`: what `/progress`
    says; its argument, whether the broker may be asked where the topics end now."""

    about: dict[str, Any]
    registry: CollectorRegistry
    routes: Routes
    ready: Callable[[], Awaitable[bool]]
    alive: Callable[[], bool]
    progress: Callable[[bool], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def answering(
    settings: Settings,
    answers: Answers,
    flows: asyncio.Event,
    served: Callable[[], None],
    stop: Callable[[], None],
) -> AsyncIterator[None]:
    """Within it HTTP is served, from when messages flow or after `AFTER_S`; then `served` is called. Where it cannot be (a port
    that is taken), `stop` is called, and the error is raised at the end."""
    http = asyncio.create_task(_serve(settings, answers, flows, served))
    http.add_done_callback(lambda _: stop() if not http.cancelled() and http.exception() else None)
    try:
        yield
    finally:
        http.cancel()
        await asyncio.wait({http})
        if not http.cancelled():
            await http.result().cleanup()


async def _serve(
    settings: Settings, answers: Answers, flows: asyncio.Event, served: Callable[[], None]
) -> web.AppRunner:
    await until(flows.is_set, flows, AFTER_S)
    # Messages go on meanwhile.
    serve_worker, routes = await asyncio.to_thread(_load, answers)
    runner = await serve_worker(settings, answers, routes)
    served()
    return runner


def _load(answers: Answers) -> tuple[Callable[..., Awaitable[web.AppRunner]], Sequence[web.RouteDef]]:
    from messaging.worker_http import serve_worker  # noqa: PLC0415 - see above

    return serve_worker, answers.routes()
