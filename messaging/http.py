"""HTTP for every process: health, metrics, and what queries need (problems after RFC 9457, paging, JSON)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic_core import to_json

from messaging.logs import get_logger

log = get_logger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An answer that is an error: status, a short title, and what to do about it."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


def json_response(data: Any, status: int = 200) -> web.Response:
    """`data` as JSON; times in RFC 3339, UTC."""
    return web.Response(body=to_json(data), status=status, content_type="application/json")


def limit_of(request: web.Request) -> int:
    """The `limit` of a list, 50 by default, 500 at most. Raises `Problem`."""
    raw = request.query.get("limit")
    if raw is None:
        return DEFAULT_LIMIT
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 9) or not 1 <= int(raw) <= MAX_LIMIT:
        raise Problem(400, "Bad limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(raw)


def refuse_unknown(request: web.Request, known: Sequence[str]) -> None:
    """A misspelt filter must not be an empty answer. Raises `Problem`."""
    unknown = sorted(set(request.query) - set(known))
    if unknown:
        raise Problem(
            400, "Unknown parameter", f"Known parameters are {', '.join(known)}; not {', '.join(unknown)[:100]}."
        )


@web.middleware
async def problems(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Every error leaves as a problem document; what nobody foresaw is logged and says no more than that."""
    try:
        return await handler(request)
    except Problem as problem:
        return _problem(problem)
    except web.HTTPException as error:
        return _problem(Problem(error.status, error.reason, f"{request.method} {request.path}: {error.reason}."))
    except TimeoutError:
        return _problem(Problem(503, "Database busy", "The database did not answer in time; try again."))
    except Exception:  # the boundary of the process: logged, told, and the server goes on
        log.exception("request-failed", route=_route(request))
        return _problem(
            Problem(503, "Cannot answer now", "The query failed, most likely because the database is away; try again.")
        )


def _route(request: web.Request) -> str:
    """What was asked, without the words of whoever asked."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else '(unknown)'}"


def _problem(problem: Problem) -> web.Response:
    body = to_json({"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail})
    return web.Response(body=body, status=problem.status, content_type=PROBLEM_JSON)


def make_app(
    routes: Sequence[web.RouteDef],
    registry: CollectorRegistry,
    ready: Callable[[], Awaitable[bool]],
    alive: Callable[[], bool],
    about: dict[str, Any],
) -> web.Application:
    """The application with `/metrics`, `/healthz` (is progress possible), `/readyz` (is everything there) and the queries."""

    async def metrics(request: web.Request) -> web.Response:
        # Exemplars are told to who asks for the one format that has room for them, as Prometheus does.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        fine = alive()
        return json_response({**about, "alive": fine}, 200 if fine else 503)

    async def readyz(_: web.Request) -> web.Response:
        fine = await ready()
        return json_response({**about, "ready": fine}, 200 if fine else 503)

    app = web.Application(middlewares=[problems])
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz), *routes])
    return app


async def serve(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Listen; the runner's `cleanup` ends it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
