"""Where every service stands, and which orders should have moved and did not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from contracts.topics import SUBSCRIPTIONS, all_topics
from orderctl.doctor import asking, showing
from orderctl.doctor.broker import open_broker
from orderctl.errors import OrderctlError
from services.console.access import Who
from services.console.pages import page
from services.console.wiring import Console, console_of

router = APIRouter()

#: Counting the orders under way takes a second where a hundred thousand are: the page does not wait so long, its script asks again.
VERSIONS_WITHIN_S: Final = 0.3


@router.get("/system")
async def system(request: Request, person: Who) -> Response:
    """Every service's processes, their partitions, what waits for them, what went wrong last; the policies in effect."""
    console = console_of(request)
    async with asking.session() as web:
        found, topics, (policies, problem), versions = await asyncio.gather(
            asking.ask_services(web, console.settings.client),
            _topics(console.settings.client.bootstrap_servers),
            _asked(console.apis.policies()),
            _versions(console, VERSIONS_WITHIN_S),
        )
    services = [
        {
            "name": service.name,
            "well": bool(service.processes) and all(showing.well(process) for process in service.processes),
            "processes": service.processes,
        }
        for service in found.values()
    ]
    return page(
        request,
        person,
        "system.html",
        services=services,
        ill=[service["name"] for service in services if not service["well"]],
        policies=policies,
        trouble=problem,
        versions=versions,
        topics=topics[0],
        topics_unknown=topics[1],
        viewers=console.hub.viewers,
    )


@router.get("/system/versions")
async def versions(request: Request, person: Who) -> Response:
    """How many orders are on each version of the workflow, for as long as it takes to count them."""
    return page(request, person, "versions.html", versions=await _versions(console_of(request), None))


async def _versions(console: Console, within_s: float | None) -> tuple[list[Any], str] | None:
    """The versions, or why they are not known; None: not in time."""
    try:
        async with asyncio.timeout(within_s):
            return await _asked(console.apis.orders.get_all("/workflows"))
    except TimeoutError:
        return None


async def _asked(question: Awaitable[list[Any]]) -> tuple[list[Any], str]:
    try:
        return await question, ""
    except OrderctlError as error:
        return [], str(error)


async def _topics(bootstrap_servers: str) -> tuple[list[dict[str, Any]], str]:
    """The topics that the system needs, with what the broker says of them."""
    async with open_broker(bootstrap_servers) as broker:
        if isinstance(broker, str):
            return [], broker
        facts = await broker.look({})
    if facts.problem is not None:
        return [], facts.problem
    rows = []
    for spec in all_topics():
        ends = [end for (topic, _), end in facts.ends.items() if topic == spec.name]
        readers = [service for service, topics in SUBSCRIPTIONS.items() if spec.name in topics]
        partitions = facts.topics.get(spec.name)
        rows.append(
            {
                "name": spec.name,
                "partitions": partitions,
                "records": sum(ends) if ends else None,
                "readers": readers,
                "letters": spec.name.endswith(".dlq"),
            }
        )
    return rows, ""
