"""`stock`: price and counts of a SKU, or who holds what, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from orderctl import cli, render
from orderctl.errors import UsageError
from orderctl.exits import Exit
from orderctl.http import Apis

Held = Mapping[str, Any]


def stock(
    context: typer.Context,
    sku: Annotated[str | None, typer.Argument(metavar="[SKU]", help="The SKU; --sku says the same.")] = None,
    named: Annotated[str | None, typer.Option("--sku", help="The SKU.", metavar="SKU")] = None,
    pressure: Annotated[
        bool, typer.Option("--pressure", help="What is held, for whom and until when; of all SKUs where none is named.")
    ] = False,
    json: cli.JsonFlag = False,
) -> None:
    """Price and counts of a SKU; with --pressure, who holds it. Exit codes: 0 done, 1 no answer, 2 no SKU named, 7 no such SKU."""
    settings = cli.settings_of(context)
    wanted = sku or named
    if sku is not None and named is not None and sku != named:
        raise UsageError("Two SKUs are named: say the one that is meant once.")
    if wanted is None and not pressure:
        raise UsageError(
            "Which SKU? `orderctl stock SKU`; `orderctl stock --pressure` shows what is held of all of them."
        )

    async def work() -> Exit:
        async with Apis(settings) as apis:
            row = None if wanted is None else await apis.sku(wanted)
            held = await apis.held(wanted) if pressure else None
        if held is not None:
            _tell_pressure(held, wanted, row, json)
        elif row is not None:
            _tell_counts(row, json)
        return Exit.OK

    cli.run(work)


def _tell_counts(row: Mapping[str, Any], json: bool) -> None:
    if json:
        render.print_json(row)
        return
    price = render.money(row.get("unit_price_minor"), row.get("currency"))
    counts = [(name, str(row.get(name))) for name in ("on_hand", "held", "shipped", "received", "adjusted")]
    render.out().print(render.table(("", ""), [("sku", render.escape(str(row["sku"]))), ("price", price), *counts]))


def _tell_pressure(held: Sequence[Held], sku: str | None, row: Mapping[str, Any] | None, json: bool) -> None:
    first_to_expire = sorted(held, key=lambda found: (found["expires_at"] is None, found["expires_at"] or ""))
    sums = _sums(first_to_expire, sku)
    if json:
        render.print_json({"items": first_to_expire, "next": None, "skus": sums})
        return
    console, now = render.out(), datetime.now(UTC)
    if row is not None:
        console.print(f"{render.escape(str(row['sku']))}: {row['held']} held, {row['on_hand']} left on hand.")
    if not held:
        console.print("Nothing is held.")
        return
    rows = [
        (
            render.escape(str(line["sku"])),
            str(line["quantity"]),
            render.escape(str(found["order_id"])),
            _moment(found["held_since"]),
            _until(found, now),
        )
        for found in first_to_expire
        for line in _lines(found, sku)
    ]
    console.print(render.table(("sku", "quantity", "order", "held since (UTC)", "until (UTC)"), rows, ("quantity",)))
    for total in sums:
        console.print(f"{render.escape(total['sku'])}: {total['quantity']} held for {total['orders']} orders")


def _sums(held: Sequence[Held], sku: str | None) -> list[dict[str, Any]]:
    """Of each SKU how many pieces are held, for how many orders, and when the first of these holds is over."""
    pieces: dict[str, int] = {}
    orders: dict[str, set[str]] = {}
    until: dict[str, str | None] = {}
    for found in held:
        for line in _lines(found, sku):
            name = str(line["sku"])
            pieces[name] = pieces.get(name, 0) + int(line["quantity"])
            orders.setdefault(name, set()).add(str(found["order_id"]))
            until.setdefault(name, found["expires_at"])
    most = sorted(pieces, key=lambda name: (-pieces[name], name))
    return [
        {"sku": name, "quantity": pieces[name], "orders": len(orders[name]), "first_expires_at": until[name]}
        for name in most
    ]


def _lines(found: Held, sku: str | None) -> list[Mapping[str, Any]]:
    return [line for line in found["items"] if sku is None or line["sku"] == sku]


def _moment(at: str | None) -> str:
    return "-" if at is None else at[:19].replace("T", " ")


def _until(found: Held, now: datetime) -> str:
    at = found["expires_at"]
    if at is None:
        return "no end"
    over = datetime.fromisoformat(at) <= now
    return f"[red]{_moment(at)}, over: announced {found['announced']}x[/]" if over else _moment(at)
