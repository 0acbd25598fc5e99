"""Questions that HTTP answers: `status`, `items`, `list`, `charges`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from orderctl import cli, render
from orderctl.exits import Exit
from orderctl.http import Apis
from orderctl.settings import Settings


def status(context: typer.Context, order_id: cli.OrderArgument, json: cli.JsonFlag = False) -> None:
    """Where an order is and what it is waiting for."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with Apis(settings) as apis:
            order = await apis.order(order_id)
        if json:
            render.print_json(order)
        else:
            render.out().print(render.table(("", ""), _order_rows(order)))
        return Exit.OK

    cli.run(work)


def items(context: typer.Context, order_id: cli.OrderArgument, json: cli.JsonFlag = False) -> None:
    """An order's lines with their prices."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with Apis(settings) as apis:
            lines = await apis.items(order_id)
            currency = None if json else (await apis.order(order_id)).get("currency")
        if json:
            render.print_json({"items": lines, "next": None})
            return Exit.OK
        rows = [
            (
                render.escape(str(line["sku"])),
                str(line["quantity"]),
                render.money(line.get("unit_price_minor"), currency),
                render.money(_line_total(line), currency),
            )
            for line in lines
        ]
        render.out().print(render.table(("sku", "quantity", "price", "total"), rows, ("quantity", "price", "total")))
        return Exit.OK

    cli.run(work)


def list_orders(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="Only orders in this status, as AWAITING_APPROVAL.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    waiting_for: Annotated[str | None, typer.Option(help="Only those that wait for this, as approval.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Orders on a page.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this cursor (`next` of the page before).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All pages.")] = False,
    json: cli.JsonFlag = False,
) -> None:
    """List orders, newest first."""
    given = {"status": status, "customer": customer, "waiting_for": waiting_for, "limit": str(limit), "after": after}
    query = {name: value for name, value in given.items() if value is not None}
    settings = cli.settings_of(context)
    cli.run(lambda: _list(settings, query, everything, json))


async def _list(settings: Settings, query: Mapping[str, str], everything: bool, json: bool) -> Exit:
    async with Apis(settings) as apis:
        if everything:
            page: dict[str, Any] = {
                "items": await apis.orders.get_all("/orders", {**query, "limit": "500"}),
                "next": None,
            }
        else:
            page = await apis.orders.get("/orders", query)
    if json:
        render.print_json(page)
        return Exit.OK
    rows = [
        (
            render.escape(order["order_id"]),
            render.coloured(order["status"]),
            render.escape(order.get("reason") or order.get("waiting_for") or ""),
            render.escape(order["customer_id"] or ""),
            render.money(order.get("total_minor"), order.get("currency")),
            str(order["created_at"])[:19].replace("T", " "),
        )
        for order in page["items"]
    ]
    console = render.out()
    console.print(
        render.table(("order", "status", "reason or waiting for", "customer", "total", "created"), rows, ("total",))
    )
    if page.get("next"):
        render.err().print(f"There are more: --after {render.escape(str(page['next']))}")
    return Exit.OK


def charges(
    context: typer.Context,
    order_id: cli.OrderArgument,
    gateway: Annotated[bool, typer.Option("--gateway", help="Also what the gateway's own ledger says.")] = False,
    json: cli.JsonFlag = False,
) -> None:
    """What was charged and given back for an order."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with Apis(settings) as apis:
            found = await apis.charges(order_id)
            entries = await apis.gateway_entries(order_id) if gateway else None
        if json:
            render.print_json({"items": found, "next": None} | ({"gateway": entries} if gateway else {}))
        else:
            _print_charges(found, entries)
        return Exit.OK

    cli.run(work)


def _print_charges(found: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]] | None) -> None:
    console = render.out()
    rows = [
        (
            render.escape(str(charge["charge_id"])),
            render.escape(str(charge["status"])),
            *(
                render.money(charge.get(f), charge.get("currency"))
                for f in ("amount_minor", "captured_minor", "refunded_minor")
            ),
        )
        for charge in found
    ]
    sums = ("amount", "captured", "refunded")
    console.print(render.table(("charge", "status", *sums), rows, sums) if rows else "Nothing was charged.")
    for entry in entries or ():
        amount = render.money(entry["amount_minor"], entry["currency"])
        console.print(f"gateway: {entry['at']}  {entry['kind']}  {amount}  {render.escape(str(entry['charge_id']))}")


def _line_total(line: Mapping[str, Any]) -> int | None:
    price: int | None = line.get("unit_price_minor")
    return None if price is None else price * int(line["quantity"])


def _order_rows(order: Mapping[str, Any]) -> list[tuple[str, str]]:
    total = render.money(order.get("total_minor"), order.get("currency"))
    rows = [("order", render.escape(str(order["order_id"]))), ("status", render.coloured(str(order["status"])))]
    rows += [
        (name.replace("_", " "), render.escape(str(order[name])))
        for name in ("reason", "waiting_for", "deadline", "customer_id", "workflow", "workflow_version")
        if order.get(name) is not None
    ]
    if order.get("paused"):
        rows.append(("paused", "yes"))
    rows += [("total", total), ("lines", str(len(order.get("items") or ())))]
    return rows + [
        (name.replace("_", " "), str(order[name])) for name in ("created_at", "updated_at") if order.get(name)
    ]
