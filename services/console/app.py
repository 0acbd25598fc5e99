"""Wiring: settings, database, query APIs, stream and pages become one process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from prometheus_client import CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from contracts.metrics import CONSOLE_CONNECTED, CONSOLE_VIEWERS
from contracts.values import is_id
from messaging.errors import SettingsError
from messaging.logs import DROPPED, configure, get_logger, load_log_settings
from messaging.meters import make_gauge
from messaging.migrate import migrate
from messaging.version import code_version
from orderctl.errors import OrderctlError
from orderctl.http import Apis
from services.console import (
    pages_actions,
    pages_acts,
    pages_bulk,
    pages_dashboard,
    pages_letters,
    pages_order,
    pages_orders,
    pages_people,
    pages_system,
)
from services.console.access import Attempts, LoginRequiredError, guard, with_policy
from services.console.act_store import ActStore
from services.console.bulk import Bulks
from services.console.bulk_store import BulkStore
from services.console.domain import ROLES, Role
from services.console.letters import Letters
from services.console.live import Hub
from services.console.pages import tell
from services.console.settings import Settings, load_settings
from services.console.store import AWAY, ConsoleStore
from services.console.watch import Watch
from services.console.wiring import Console, console_of

log = get_logger(__name__)

HERE: Final = Path(__file__).parent
EXIT_BAD_SETTINGS: Final = 2
STOP_WITHIN_S: Final = 5
_DATABASE_RETRY_S: Final = 0.5
DATABASE_AWAY: Final = (
    "It holds accounts and sessions, so nobody can be let in meanwhile. Orders go on without it. "
    "CONSOLE_DATABASE_URL says where it should be."
)


def main() -> int:
    """Run until SIGTERM or SIGINT. Returns 2 where settings are wrong."""
    try:
        settings = load_settings()
        configure(load_log_settings(), "console", settings.identity, levels={"uvicorn": "WARNING"})
        _announce(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    config = uvicorn.Config(
        make_app(settings),
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    _Server(config).run()
    return 0


class _Server(uvicorn.Server):
    """Ends the streams when it is told to stop: a browser would hold them open for ever."""

    def handle_exit(self, sig: int, frame: object) -> None:
        """See `uvicorn.Server`."""
        app = self.config.app
        if isinstance(app, FastAPI) and hasattr(app.state, "console"):
            app.state.console.stopping.set()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def make_app(settings: Settings) -> FastAPI:
    """The application; what it needs is opened when it starts."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        await _migrated(settings)
        pool = asyncpg.create_pool(settings.database_url, min_size=0, max_size=4, command_timeout=10, timeout=5)
        hub, apis = Hub(settings.client, settings.identity), Apis(settings.client)
        store, acts = ConsoleStore(pool), ActStore(pool)
        letters = Letters(settings.client, settings.identity, hub.reached)
        bulks, watch = Bulks(BulkStore(pool), apis, hub), Watch(settings.watcher_url, pool)
        async with pool, apis, hub, bulks, watch:
            templates = Jinja2Templates(HERE / "templates")
            app.state.console = Console(settings, apis, hub, letters, bulks, watch, store, acts, templates)
            _tell_first_password(settings, await store.first_password())
            yield

    app = FastAPI(lifespan=opened, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.attempts = Attempts()
    app.middleware("http")(guard)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    # Every one of its routes ends with an id, which may hold anything: the list comes before the order.
    parts = (pages_people, pages_acts, pages_system, pages_dashboard, pages_letters, pages_bulk, pages_actions)
    for part in (*parts, pages_orders, pages_order):
        app.include_router(part.router)
    _health(app, settings)
    _errors(app)
    return app


def _announce(settings: Settings) -> None:
    where = settings.origin or f"http://{settings.http_host}:{settings.http_port}"
    _print_for_people(f"{settings.identity} shows orders on {where}")
    log.info("started", where=where)


def _tell_first_password(settings: Settings, password: str | None) -> None:
    if password is None:
        return
    if settings.tells_password or sys.stdout.isatty():
        _print_for_people(f"First log-in: admin, with the one-time password {password}")
    else:
        # Nobody knows it, then: an account whose password has to be made anew.
        log.info("first-password-not-told", reason="no-terminal")
        _print_for_people(
            "First log-in: `python -m services.console password admin` prints what admin logs in with, once"
        )


def _print_for_people(line: str) -> None:
    # Who collects JSON gets nothing else.
    if load_log_settings().format == "console":
        print(line, flush=True)


def new_password(name: str, role: str) -> int:
    """`python -m services.console password NAME [ROLE]`: make an account, or give it a new one-time password, and print that."""
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    if not is_id(name) or role not in ROLES:
        print(f"error: a name of 1 to 64 characters and a role are needed, one of {', '.join(ROLES)}.", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    print(asyncio.run(_put(settings, name, role)))
    return 0


async def _put(settings: Settings, name: str, role: Role) -> str:
    await _migrated(settings)
    async with asyncpg.create_pool(settings.database_url, min_size=0, max_size=1, command_timeout=10) as pool:
        return await ConsoleStore(pool).put_account(name, role, reason="python -m services.console password")


async def _migrated(settings: Settings) -> None:
    while True:
        try:
            await migrate(settings.database_url, HERE / "migrations")
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            log.warning("database-not-there-yet", error=error)
            await asyncio.sleep(_DATABASE_RETRY_S)
        else:
            return


def _health(app: FastAPI, settings: Settings) -> None:
    registry = CollectorRegistry()
    registry.register(DROPPED)
    viewers = make_gauge(CONSOLE_VIEWERS, registry)
    connected = make_gauge(CONSOLE_CONNECTED, registry)
    about = {"service": "console", "identity": settings.identity, "version": code_version("console")}

    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        # Who is away (Kafka, the watcher, the console's own database) is looked for until it is back: a restart would not help.
        # It would where nobody looks any more.
        console = console_of(request)
        fine = console.hub.alive and console.watch.alive
        return JSONResponse({**about, "alive": fine}, 200 if fine else 503)

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        # Without its database nobody can log in, without Kafka nothing can be sent or is new.
        console = console_of(request)
        fine = await console.store.answers() and console.hub.connected
        return JSONResponse({**about, "ready": fine}, 200 if fine else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        hub = console_of(request).hub
        viewers.set(hub.viewers)
        connected.set(hub.connected)
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _errors(app: FastAPI) -> None:
    @app.exception_handler(LoginRequiredError)
    async def login_required(_: Request, error: LoginRequiredError) -> Response:
        return RedirectResponse(error.where, 303)

    # Starlette's, from which FastAPI's comes: also what is no page at all.
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return tell(request, None, error.status_code, "No such page", f"There is nothing at {request.url.path}.")
        return tell(request, None, error.status_code, "That does not work", str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def incomplete(request: Request, _: RequestValidationError) -> Response:
        return tell(request, None, 400, "That does not work", "The address is not complete.")

    @app.exception_handler(OrderctlError)
    async def unanswered(request: Request, error: OrderctlError) -> Response:
        return tell(request, None, 502, "Somebody does not answer", str(error))

    async def database_away(request: Request, error: Exception) -> Response:
        log.warning("database-away", error=error)
        return tell(request, None, 503, "The console's database does not answer", DATABASE_AWAY)

    for away in AWAY:
        app.add_exception_handler(away, database_away)

    @app.exception_handler(Exception)
    async def broken(request: Request, _: Exception) -> Response:
        # Whoever runs the server logs it; the page says no more than that.
        return with_policy(tell(request, None, 500, "The console has made a mistake", "Its log tells which one."))
