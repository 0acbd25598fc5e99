"""`history`: everything that is on record about an order, whoever has it, as one timeline."""

from __future__ import annotations

from typing import Annotated

import typer

from orderctl import cli, render, tape
from orderctl.exits import Exit
from orderctl.following import past_events
from orderctl.http import Apis

RawFlag = Annotated[
    bool,
    typer.Option("--raw", help="The orders service's own entries as they are, without what others have on record."),
]


def history(
    context: typer.Context, order_id: cli.OrderArgument, raw: RawFlag = False, json: cli.JsonFlag = False
) -> None:
    """What happened to an order: every step, attempt, timer, message, stock, money and mail, in causal order, with the gaps
    explained."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with Apis(settings) as apis:
            if raw:
                await _raw(apis, order_id, json)
                return Exit.OK
            found = await apis.tape(order_id)
        if json:
            render.print_json(found)
            return Exit.OK
        console = render.out()
        for line in tape.lines(found.get("items") or (), found.get("missing") or ()):
            console.print(line)
        return Exit.OK

    cli.run(work)


async def _raw(apis: Apis, order_id: str, json: bool) -> None:
    entries = await apis.history(order_id)
    if json:
        render.print_json({"items": entries, "next": None})
        return
    console = render.out()
    told = {id(entry): event for entry in entries for event in past_events(order_id, [entry])}
    for entry in entries:
        event = told.get(id(entry))
        if event is not None:
            console.print(render.event_line(event))
        else:
            # A note of the orchestrator's own, which is not published.
            noted = str(entry.get("type")).removeprefix("orders.")
            console.print(render.told_line(entry.get("at"), noted, entry.get("data") or {}))
