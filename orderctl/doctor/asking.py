"""Asking everybody at once, with short deadlines. Nothing here is an error for whoever asked: what does not answer is a fact."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from aiokafka.errors import KafkaError
from pydantic_core import from_json

from contracts.topics import DEFAULT_PARTITIONS, ORDERS_COMMANDS, ORDERS_OPERATIONS
from messaging.partitioner import partition_of
from orderctl.doctor.broker import Broker, cause_of, offsets_of, open_broker
from orderctl.doctor.facts import (
    KafkaFacts,
    Lane,
    OrderFacts,
    ProcessFacts,
    ServiceFacts,
    World,
    parse_lane,
    parse_order,
    parse_process,
    parse_ready,
)
from orderctl.errors import NotFoundError, OrderctlError
from orderctl.http import Api, order_path
from orderctl.settings import Settings

HTTP_TIMEOUT_S: Final = 2.5
#: Between two looks at a service that has records to read: whether it moves.
SECOND_LOOK_S: Final = 1.0


def session() -> aiohttp.ClientSession:
    """For questions that must not take long."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S))


# --- the services -----------------------------------------------------------------------------------------------------


async def ask_services(web: aiohttp.ClientSession, settings: Settings, exactly: bool = True) -> dict[str, ServiceFacts]:
    """Every process of every service, at once. `exactly`: each asks the broker where its topics end; else it tells what it saw when
    it last looked, seconds ago."""
    asked = [(name, url) for name, urls in settings.processes.items() for url in urls]
    path = "/progress" if exactly else "/progress?ends=known"
    told = await asyncio.gather(*(_ask_process(web, url, path) for _, url in asked))
    found: dict[str, ServiceFacts] = {}
    for (name, _), process in zip(asked, told, strict=True):
        found[name] = ServiceFacts(name, (*(found[name].processes if name in found else ()), process))
    return found


async def ask_ready(web: aiohttp.ClientSession, url: str, service: str) -> ProcessFacts:
    """A process of `service` that is not on the message runtime and tells no progress: whether it is ready."""
    answer = await _answer(web, url, "/readyz")
    return answer if isinstance(answer, ProcessFacts) else parse_ready(url, service, *answer)


async def _ask_process(web: aiohttp.ClientSession, url: str, path: str) -> ProcessFacts:
    answer = await _answer(web, url, path)
    if isinstance(answer, ProcessFacts):
        return answer
    status, told = answer
    if status != 200 or told is None:
        return ProcessFacts(url, "no-progress", f"it answered {status} to /progress")
    try:
        return parse_process(url, told, datetime.now(UTC))
    except (ValueError, TypeError, AttributeError):
        return ProcessFacts(url, "no-progress", "it answers something else at /progress")


async def _answer(web: aiohttp.ClientSession, url: str, path: str) -> tuple[int, dict[str, Any] | None] | ProcessFacts:
    """The status and the document, or a process with the reason why there is no answer."""
    try:
        async with web.get(f"{url}{path}") as response:
            return response.status, _document(await response.read())
    except TimeoutError:
        return ProcessFacts(url, "timeout", f"no answer within {HTTP_TIMEOUT_S:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if _refused(error):
            return ProcessFacts(url, "refused", "connection refused")
        return ProcessFacts(url, "error", cause_of(error))


def _refused(error: BaseException) -> bool:
    under = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(under, ConnectionRefusedError)


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


# --- everything but the order -----------------------------------------------------------------------------------------


async def ask_world(web: aiohttp.ClientSession, settings: Settings, order_id: str | None = None) -> World:
    """The services and the broker; for one order only what concerns its partition, else all of them."""
    asking = asyncio.create_task(ask_services(web, settings))
    async with open_broker(settings.bootstrap_servers) as broker:
        kafka, only = await _first_look(broker, settings, order_id)
        services = await asking
        before, services = await _second_look(web, settings, services, only)
        world = World(datetime.now(UTC), services, kafka, before, unasked=tuple(_unasked(services, kafka)))
        world = await _with_lanes(web, world, order_id)
        return world if isinstance(broker, str) else await _with_records(world, broker, order_id, only)


async def _first_look(broker: Broker | str, settings: Settings, order_id: str | None) -> tuple[KafkaFacts, int | None]:
    if isinstance(broker, str):
        only = None if order_id is None else partition_of(order_id, DEFAULT_PARTITIONS)
        return KafkaFacts(settings.bootstrap_servers, problem=broker), only
    groups = {name: f"{settings.task_queue}.{name}" for name in settings.processes}
    kafka = await broker.look(groups)
    count = kafka.topics.get(ORDERS_COMMANDS, DEFAULT_PARTITIONS)
    return kafka, None if order_id is None else partition_of(order_id, count)


async def _second_look(
    web: aiohttp.ClientSession, settings: Settings, services: dict[str, ServiceFacts], only: int | None
) -> tuple[dict[str, ServiceFacts], dict[str, ServiceFacts]]:
    """A moment later once more, where records wait: only then it shows whether a service moves."""
    waits = any(
        partition.lag
        for service in services.values()
        for process in service.answering
        for partition in process.partitions
        if only in (None, partition.partition)
    )
    if not waits:
        return {}, services
    await asyncio.sleep(SECOND_LOOK_S)
    return services, await ask_services(web, settings)


async def _with_lanes(web: aiohttp.ClientSession, world: World, order_id: str | None) -> World:
    """With the keys that wait behind a dead letter: of one order, or all; asked only where a service says that it has some."""
    asked = [
        (service.name, process.url)
        for service in world.services.values()
        for process in service.answering[:1]
        if any(partition.parked for one in service.answering for partition in one.partitions)
    ]
    told = await asyncio.gather(*(_ask_lanes(web, name, url, order_id) for name, url in asked))
    lanes = tuple(lane for found in told if not isinstance(found, str) for lane in found)
    return replace(world, lanes=lanes, unasked=(*world.unasked, *(found for found in told if isinstance(found, str))))


async def _ask_lanes(web: aiohttp.ClientSession, name: str, url: str, key: str | None) -> list[Lane] | str:
    """The lanes, or why they could not be asked for."""
    query = {"limit": "500"} if key is None else {"key": key}
    try:
        return [parse_lane(name, told) for told in await Api(web, name, url).get_all("/lanes", query)]
    except (OrderctlError, ValueError, TypeError, AttributeError) as error:
        return f"the lanes of {name}: {error}"


async def _with_records(world: World, broker: Broker, order_id: str | None, only: int | None) -> World:
    """With the dead letters and the unread commands that the broker still shows."""
    if world.kafka.problem is not None:
        return world
    try:
        letters = await broker.dead_letters(world.kafka, order_id, only)
        unread = [] if order_id is None or only is None else await _unread(world, broker, order_id, only)
    except (KafkaError, OSError, TimeoutError) as error:
        return replace(world, unasked=(*world.unasked, f"dead letters and unread commands: {cause_of(error)}"))
    return replace(world, dead_letters=tuple(letters), waiting=tuple(unread))


async def _unread(world: World, broker: Broker, order_id: str, only: int) -> list[Any]:
    here = world.services["orders"].partition(only) if "orders" in world.services else None
    told = offsets_of(world.kafka.groups, ("orders",))
    if here is not None:
        told |= {(topic, only): offset for topic, offset in here.offsets.items()}
    # A group that never told an offset has read nothing.
    stands = {(topic, only): told.get((topic, only), 0) for topic in (ORDERS_COMMANDS, ORDERS_OPERATIONS)}
    return await broker.waiting(stands, world.kafka, order_id)


def _unasked(services: Mapping[str, ServiceFacts], kafka: KafkaFacts) -> list[str]:
    told = [
        f"{service.name} at {process.url}: {process.detail or process.problem}"
        for service in services.values()
        for process in service.processes
        if process.problem is not None
    ]
    return told if kafka.problem is None else [*told, f"the broker at {kafka.bootstrap_servers}: {kafka.problem}"]


# --- the order --------------------------------------------------------------------------------------------------------


async def ask_order(
    web: aiohttp.ClientSession, settings: Settings, order_id: str
) -> tuple[OrderFacts, tuple[str, ...]]:
    """The order, and what could not be asked about it."""
    api = Api(web, "orders", settings.orders_api_url)
    path = order_path(order_id)
    try:
        told, history = await asyncio.gather(api.get(path, missing=""), api.get_all(f"{path}/history", missing=""))
    except NotFoundError:
        return OrderFacts(order_id, False), ()
    except OrderctlError as error:
        return OrderFacts(order_id, None), (f"the order: {error}",)
    return parse_order(order_id, told, history), ()
