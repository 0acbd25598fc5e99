"""`GET /workflows`: which workflows and versions orders under way are on. What has ended is on none any more."""

from __future__ import annotations

from collections import Counter
from typing import Final

from aiohttp import web

from messaging.http import json_response, refuse_unknown
from messaging.published import Fetch
from services.orders.domain.signals import DEFAULT_VERSION, SUPPORTED_VERSIONS

#: Along the index of lists: orders that have ended, nearly all, are not read.
UNDER_WAY: Final = """
SELECT workflow, workflow_version AS version, count(*) AS under_way FROM orders
WHERE listed = ANY ('{MOVING,AWAITING_APPROVAL,COMPENSATING,NEEDS_ATTENTION}') GROUP BY 1, 2
"""


def workflow_routes(fetch: Fetch) -> list[web.RouteDef]:
    """The route. A version that this code supports stands there without orders too, and one that it does not, with its orders."""

    async def show(request: web.Request) -> web.Response:
        refuse_unknown(request, ())
        counts: Counter[tuple[str, int]] = Counter()
        for row in await fetch(UNDER_WAY):
            counts[row["workflow"], row["version"]] += row["under_way"]
        known = {("order", version) for version in SUPPORTED_VERSIONS}
        items = [
            {
                "workflow": workflow,
                "version": version,
                "under_way": counts[workflow, version],
                "supported": (workflow, version) in known or workflow != "order",
                "default": (workflow, version) == ("order", DEFAULT_VERSION),
            }
            for workflow, version in sorted(known | counts.keys())
        ]
        return json_response({"items": items, "next": None})

    return [web.get("/workflows", show)]
