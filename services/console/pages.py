"""What all pages share: how one is put together, and what templates may call."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from orderctl.errors import UsageError
from orderctl.events import short_name
from orderctl.render import money
from services.console.aside import Refusal, refusal_of
from services.console.domain import may
from services.console.store import Person
from services.console.wiring import console_of

#: What no database keeps as text.
_UNKEPT: Final = re.compile("[\0\ud800-\udfff]")


def page(request: Request, person: Person | None, template: str, status: int = 200, **facts: Any) -> Response:
    """A page, with everything that its template needs."""
    console = console_of(request)
    facts |= {
        "person": person,
        "may": (lambda action: person is not None and may(person.role, action)),
        "path": request.url.path,
        "attention": request.query_params.get("status") == "NEEDS_ATTENTION",
        "money": money,
        "link": link,
        "short": short_name,
        "moment": moment,
        "readable": readable,
        "connected": console.hub.connected,
        "heard": request.state.heard,
        # The list that somebody came from, as a query.
        "back": facts.get("back", request.query_params.get("back", "")),
        "onward": onward,
        # Where the script makes the address one that Back and reload can ask for.
        "posted": request.method == "POST",
    }
    return console.templates.TemplateResponse(request, template, facts, status_code=status)


def link(place: str, order_id: str, **query: str) -> str:
    """The address of an order's page, with what of `query` is not empty. A browser takes `.` and `..` in a path for something else:
    these ids stand behind it."""
    apart = order_id in {".", ".."}
    asked = urlencode(
        {**({"id": order_id} if apart else {}), **{name: value for name, value in query.items() if value}}
    )
    return f"/{place}/{'' if apart else quote(order_id, safe='')}{'?' if asked else ''}{asked}"


def _order_id(request: Request, order_id: str) -> str:
    return order_id or request.query_params.get("id", "")


#: The order that an address made by `link` names.
OrderId = Annotated[str, Depends(_order_id)]


def tell(request: Request, person: Person | None, status: int, title: str, text: str) -> Response:
    """A page that says one thing. Where it is that somebody is away, it tries again by itself."""
    again = status in {502, 503} and request.method == "GET"
    return page(request, person, "message.html", status, title=title, text=text, again=again)


def reason_given(filled: Mapping[str, str]) -> None:
    """Raises `UsageError` where nobody says why."""
    reason = filled.get("reason", "").strip()
    if not 1 <= len(reason) <= 1000 or _UNKEPT.search(reason):
        raise UsageError("Say why, in 1 to 1,000 characters: the reason stands in the record of what was done.")


def onward(path: str, **query: str) -> str:
    """The address with what of `query` is not empty, beside what it asks already."""
    asked = urlencode({name: value for name, value in query.items() if value})
    return f"{path}{'&' if '?' in path else '?'}{asked}" if asked else path


def see_act(request: Request, act_id: int) -> Response:
    """On to the act's own page: Back and reload ask nothing again."""
    return RedirectResponse(onward(f"/acts/{act_id}", back=request.query_params.get("back", "")), 303)


def refuse(
    request: Request, person: Person, where: str, form: Mapping[str, str], error: object, status: int | None = None
) -> Response:
    """On to the form at `where`, which says why it was refused and has what was filled in. `status`: what that page answers."""
    found = status or (400 if isinstance(error, UsageError | ValueError) else 502)
    token = console_of(request).aside.put(person, refusal_of(found, str(error), form))
    return RedirectResponse(onward(where, refused=token), 303)


def refused(request: Request, person: Person) -> Refusal:
    """Why the form that this page shows was refused; where it was not, nothing was filled in, and all is well."""
    token = request.query_params.get("refused", "")
    return console_of(request).aside.refusal(person, token) or Refusal(200, "", {})


def moment(at: str | datetime | None) -> str:
    """A time as the page's script finds it: RFC 3339, UTC, to the millisecond."""
    if at is None:
        return ""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def readable(body: Any) -> str:
    """A message's body as a person reads it: JSON with its letters as they are, in its own order. The page escapes it. What cannot
    be seen, or would turn the text around it, stays a JSON escape."""
    text = json.dumps(body, ensure_ascii=False, indent=2)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
