"""Where every service stands, and which orders should have moved and did not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import Any

import aiohttp
from fastapi import APIRouter, Request, Response

from contracts.metrics import CONSUMER_LAG
from contracts.topics import RECOMMENDATION_LEARNER, SUBSCRIPTIONS, all_topics
from orderctl.doctor import asking, showing
from orderctl.doctor.broker import open_broker
from orderctl.doctor.facts import ProcessFacts, ServiceFacts
from orderctl.errors import OrderctlError
from services.console.access import Who
from services.console.domain import HIDDEN
from services.console.pages import page
from services.console.settings import Settings
from services.console.watch import Look
from services.console.wiring import console_of

router = APIRouter()


@router.get("/system")
async def system(request: Request, person: Who) -> Response:
    """Every service's processes, their partitions, what waits for them, what went wrong last; the policies in effect."""
    console = console_of(request)
    async with asking.session() as web:
        found, others, (policies, problem) = await asyncio.gather(
            asking.ask_services(web, console.settings.client, exactly=False),
            ask_others(web, console.settings),
            _asked(console.apis.policies()),
        )
    services, look = cards((*found.values(), *others)), console.watch.last(console.now())
    return page(
        request,
        person,
        "system.html",
        services=services,
        lags={RECOMMENDATION_LEARNER: lag_of(look, RECOMMENDATION_LEARNER)},
        looked=None if look is None else look.at,
        # An error quotes what it failed on, which may be a customer's.
        said=lambda failure: f"It failed {HIDDEN}" if person.role == "viewer" else failure.text,
        ill=[service["name"] for service in services if not service["well"]],
        policies=policies,
        trouble=problem,
        viewers=console.hub.viewers,
    )


def lag_of(look: Look | None, service: str) -> int | None:
    """How far who tells no progress is behind, as the watcher saw it: its offsets are on the broker. None: not known."""
    told = {} if look is None else look.family(CONSUMER_LAG)
    lags = [int(lag) for (name, _), lag in told.items() if name == service]
    return sum(lags) if lags else None


def cards(services: Iterable[ServiceFacts]) -> list[dict[str, Any]]:
    """What the page says of each service; one of which no process is known is not well."""
    return [
        {
            "name": service.name,
            "well": bool(service.processes) and all(showing.well(process) for process in service.processes),
            "processes": service.processes,
        }
        for service in services
    ]


async def ask_others(web: aiohttp.ClientSession, settings: Settings) -> tuple[ServiceFacts, ...]:
    """The processes that are not on the message runtime: no `/progress`, but whether they are ready."""
    api, learner = await asyncio.gather(
        asking.ask_ready(web, settings.client.orders_api_url.rstrip("/"), "orders"),
        asking.ask_ready(web, settings.learner_url, RECOMMENDATION_LEARNER),
    )
    return (
        ServiceFacts("orders-api", (_with_cause(api, "its database does not answer"),)),
        ServiceFacts(RECOMMENDATION_LEARNER, (_with_cause(learner, "its partitions or its table are not read yet"),)),
    )


def _with_cause(process: ProcessFacts, cause: str) -> ProcessFacts:
    """It says that it is not ready, but not why: that is what it waits for."""
    return process if process.ready or process.problem is not None else replace(process, detail=f"Not ready: {cause}.")


# What takes longer than the page may: its script asks for these once the page is there.


@router.get("/system/versions")
async def versions(request: Request, person: Who) -> Response:
    """How many orders are on each version of the workflow. Where a hundred thousand are under way, counting takes a second."""
    counted, problem = await _asked(console_of(request).apis.orders.get_all("/workflows"))
    return page(request, person, "versions.html", versions=counted, unknown=problem)


@router.get("/system/topics")
async def topics(request: Request, person: Who) -> Response:
    """The topics that the system needs, by a connection to the broker that is opened for it."""
    found, problem = await _topics(console_of(request).settings.client.bootstrap_servers)
    return page(request, person, "topics.html", topics=found, unknown=problem)


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
