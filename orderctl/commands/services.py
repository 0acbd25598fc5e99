"""`services`: where every service stands, partition by partition."""

from __future__ import annotations

import typer

from orderctl import cli, render
from orderctl.doctor import asking, showing
from orderctl.exits import Exit


def services(context: typer.Context, json: cli.JsonFlag = False) -> None:
    """Where every service stands: what waits for it, what it has not published, what went wrong last. Exits 0 when all of them
    are well, 8 when one is not."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with asking.session() as web:
            found = await asking.ask_services(web, settings)
        code = Exit.OK if all(showing.well(p) for one in found.values() for p in one.processes) else Exit.STUCK
        if json:
            render.print_json({"items": showing.services_json(found.values()), "next": None, "exit_code": code})
            return code
        rows = [row for service in found.values() for row in showing.service_rows(service)]
        render.out().print(render.table(showing.COLUMNS, rows, showing.NUMBERS))
        return code

    cli.run(work)
