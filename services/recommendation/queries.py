"""What the recommendation service answers over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from messaging.http import Problem, json_response
from services.recommendation.pairs import Pair


def routes(known: Mapping[str, tuple[Pair, ...]]) -> list[web.RouteDef]:
    """`GET /pairs/{sku}`: what is bought together with it, from this process's copy."""

    async def pairs(request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        best = known.get(sku)
        if best is None:
            raise Problem(404, "Nothing known", "No completed order held this SKU together with another one.")
        return json_response({"sku": sku, "best": best})

    return [web.get("/pairs/{sku}", pairs)]
