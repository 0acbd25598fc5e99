"""An order's tape for people: time, time since the start, what, details, and where the message stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from orderctl import render

#: Words in a type (or in what became of a mail) that tell of something that did not work.
_BAD: Final = ("failed", "rejected", "refused", "declined", "unknown", "attention-needed", "undeliverable", "too-late")
_STYLES: Final = {
    "gap": "dim italic",
    "retry": "yellow",
    "operator": "magenta",
    "money": "green",
    "stock": "cyan",
    "command": "bold",
    "event": "bold",
}
_ENDED_WELL: Final = frozenset({"orders.order-completed.v1", "orders.greeted.v1"})
_WHAT_WIDTH: Final = 46
_ARROWS: Final = {"in": "<-", "out": "->"}


def lines(items: Sequence[Mapping[str, Any]], missing: Iterable[str]) -> Iterator[str]:
    """The tape line by line, as markup."""
    began = next((_moment(item["at"]) for item in items if item.get("kind") != "gap"), None)
    for item in items:
        # A gap's text says it all.
        what = render.visible(str(item.get("text" if item.get("kind") == "gap" else "title") or item.get("kind")))
        told, style = render.line(what), _style(item)
        told = f"[{style}]{told}[/]" if style else told
        details = "" if item.get("kind") == "gap" else " " * max(1, _WHAT_WIDTH - len(what)) + _details(item)
        yield f"{render.clock(item.get('at'))}  {_since(began, item):>11}  {told}{details}".rstrip()
    for service in missing:
        yield f"[red]{render.line(service)} did not answer: what it has on record is missing here.[/]"


def _style(item: Mapping[str, Any]) -> str:
    kind, type_ = str(item.get("kind")), str(item.get("type") or "")
    status = str((item.get("data") or {}).get("status") or "")
    if kind not in {"command", "request", "attempt"} and any(word in f"{type_} {status}" for word in _BAD):
        return "red"
    return "bold green" if type_ in _ENDED_WELL else _STYLES.get(kind, "")


def _details(item: Mapping[str, Any]) -> str:
    told = [render.line(str(item["text"]))] if item.get("text") else []
    duration_s = item.get("duration_s")
    if duration_s:
        told.append(f"({duration_s:.3f} s)" if duration_s < 10 else f"({duration_s:.0f} s)")
    message = item.get("message")
    if message:
        arrow = _ARROWS.get(str(message.get("direction")), "--")
        place = f"{message['topic']} {message['partition']}/{message['offset']}"
        where = place if message.get("offset") is not None else "no place on record"
        told.append(f"[dim]{arrow} {render.line(where)} {render.line(str(message.get('id')))}[/]")
    return "  ".join(told)


def _since(began: datetime | None, item: Mapping[str, Any]) -> str:
    at = _moment(item.get("at"))
    return "" if began is None or at is None else f"{(at - began).total_seconds():+.3f}s"


def _moment(at: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(at))
    except ValueError:
        return None
