"""What all pages share: how one is put together, and what templates may call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response

from orderctl.events import short_name
from orderctl.render import money
from services.console.domain import may
from services.console.store import Person
from services.console.wiring import console_of


def page(request: Request, person: Person | None, template: str, status: int = 200, **facts: Any) -> Response:
    """A page, with everything that its template needs."""
    console = console_of(request)
    facts |= {
        "person": person,
        "may": (lambda action: person is not None and may(person.role, action)),
        "path": request.url.path,
        "money": money,
        "short": short_name,
        "moment": moment,
        "connected": console.hub.connected,
    }
    return console.templates.TemplateResponse(request, template, facts, status_code=status)


def tell(request: Request, person: Person | None, status: int, title: str, text: str) -> Response:
    """A page that says one thing."""
    return page(request, person, "message.html", status, title=title, text=text)


def moment(at: str | datetime | None) -> str:
    """A time as the page's script finds it: RFC 3339, UTC, to the millisecond."""
    if at is None:
        return ""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
