"""What a worker's process answers over HTTP: its own queries, `/progress`, its lanes, and what every process answers."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from messaging.http import json_response, make_app, serve
from messaging.lane_queries import lane_routes
from messaging.late_http import Answers
from messaging.settings import Settings


async def serve_worker(settings: Settings, answers: Answers, routes: Sequence[web.RouteDef]) -> web.AppRunner:
    """Listen."""

    async def progress(request: web.Request) -> web.Response:
        return json_response(await answers.progress(request.query.get("ends") != "known"))

    everything = [*routes, web.get("/progress", progress), *lane_routes(settings.database_urls)]
    app = make_app(everything, answers.registry, answers.ready, answers.alive, answers.about)
    return await serve(app, settings.http_host, settings.http_port)
