"""Where every service stands, and which orders should have moved and did not."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from rich.text import Text

from orderctl.doctor import asking, showing
from orderctl.errors import OrderctlError
from services.console.access import Who
from services.console.pages import page
from services.console.wiring import console_of

router = APIRouter()


def _plain(row: tuple[str, ...]) -> list[str]:
    """The row without the terminal's markup."""
    return [Text.from_markup(cell).plain for cell in row]


@router.get("/system")
async def system(request: Request, person: Who) -> Response:
    """Every service's processes, their partitions, what waits for them, what went wrong last; the policies in effect."""
    console = console_of(request)
    async with asking.session() as web:
        found = await asking.ask_services(web, console.settings.client)
    try:
        policies, problem = await console.apis.policies(), ""
    except OrderctlError as error:
        policies, problem = [], str(error)
    services = [
        {"name": service.name, "well": all(showing.well(p) for p in service.processes), "rows": rows}
        for service in found.values()
        for rows in [[_plain(row) for row in showing.service_rows(service)]]
    ]
    return page(
        request,
        person,
        "system.html",
        services=services,
        columns=showing.COLUMNS,
        policies=policies,
        trouble=problem,
        viewers=console.hub.viewers,
    )
