"""Why does it not move? `doctor` asks about one order, `stuck` about all of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import aiohttp
import typer

from orderctl import cli, render
from orderctl.bulk.selection import parse_age
from orderctl.doctor import asking, showing
from orderctl.doctor.chain import Diagnosis
from orderctl.doctor.diagnose import diagnose
from orderctl.doctor.facts import OrderFacts, World, parse_order
from orderctl.doctor.story import since_of
from orderctl.doctor.stuck import OPEN, Case, grouped, stands, suspicious
from orderctl.errors import OrderctlError
from orderctl.exits import Exit
from orderctl.http import Api, order_path
from orderctl.settings import Settings

#: So many histories are asked for at once.
AT_ONCE: Final = 8


def doctor(context: typer.Context, order_id: cli.OrderArgument, json: cli.JsonFlag = False) -> None:
    """Why an order does not move: a chain of causes, and the verb that helps. Exits 0 when nothing is wrong with it, 8 when
    something is in its way, 7 when there is no trace of it."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        found, told = await examine(settings, order_id)
        code = _exit_of(found)
        if json:
            render.print_json(showing.diagnosis_json(found, told, code))
        else:
            showing.print_diagnosis(render.out(), found, told)
        return code

    cli.run(work)


async def examine(settings: Settings, order_id: str) -> tuple[Diagnosis, tuple[str, ...]]:
    """What there is to say about the order, and whom it could not ask."""
    async with asking.session() as web:
        (order, unasked), world = await asyncio.gather(
            asking.ask_order(web, settings, order_id), asking.ask_world(web, settings, order_id)
        )
    return diagnose(order, world), (*unasked, *world.unasked)


def _exit_of(found: Diagnosis) -> Exit:
    if found.cause == "unknown-order":
        return Exit.NOT_FOUND
    return Exit.OK if found.fine else Exit.STUCK


def stuck(
    context: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Only orders that have not moved for so long: 90s, 15m, 2h, 1d.")
    ] = "60s",
    limit: Annotated[int, typer.Option(min=1, help="Look more closely at so many orders at most.")] = 200,
    json: cli.JsonFlag = False,
) -> None:
    """The orders that should have moved and did not, by cause, with the verb that helps. Exits 0 when there are none, 8 when
    there are some, 1 when the orders API could not be asked."""
    settings, age = cli.settings_of(context), parse_age(older_than)
    cli.run(lambda: _stuck(settings, age, limit, json))


async def _stuck(settings: Settings, age: timedelta, limit: int, json: bool) -> Exit:
    async with asking.session() as web:
        listed, world = await asyncio.gather(_open_orders(web, settings), asking.ask_world(web, settings))
        orders, problem = listed
        looked_at = [order for order in orders if suspicious(order, world.now, age)]
        cases = await _cases(web, settings, looked_at[:limit], world, age)
    unasked = [*problem, *world.unasked]
    if len(looked_at) > limit:
        unasked.append(f"{len(looked_at) - limit} more orders (--limit {limit})")
    groups = grouped(cases)
    code = Exit.STUCK if groups else Exit.ERROR if problem else Exit.OK
    if json:
        render.print_json(showing.groups_json(groups, len(orders), unasked, code))
        return code
    console = render.out()
    showing.print_groups(console, groups, world.now)
    if code is Exit.OK:
        console.print(f"Nothing is stuck: {len(orders)} orders are under way.")
    showing.print_unasked(unasked)
    return code


async def _open_orders(web: aiohttp.ClientSession, settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Every order under way, and why they could not be listed."""
    api = Api(web, "orders", settings.orders_api_url)
    try:
        pages = await asyncio.gather(*(api.get_all("/orders", {"status": s, "limit": "500"}) for s in OPEN))
    except OrderctlError as error:
        return [], [f"the orders: {error}"]
    # An order that moved on between two lists stands in both.
    return list({order["order_id"]: order for page in pages for order in page}.values()), []


async def _cases(
    web: aiohttp.ClientSession, settings: Settings, orders: list[dict[str, Any]], world: World, age: timedelta
) -> list[Case]:
    api, room = Api(web, "orders", settings.orders_api_url), asyncio.Semaphore(AT_ONCE)

    async def look(told: dict[str, Any]) -> OrderFacts:
        async with room:
            try:
                history = await api.get_all(f"{order_path(told['order_id'])}/history")
            except OrderctlError:
                history = []  # it is judged by what the list says
        return parse_order(told["order_id"], told, history)

    found = await asyncio.gather(*(look(order) for order in orders))
    standing = [order for order in found if stands(order, datetime.now(UTC), age)]
    diagnosed = [Case(order, since_of(order), diagnose(order, world)) for order in standing]
    return [case for case in diagnosed if not case.diagnosis.fine]
