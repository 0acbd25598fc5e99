"""What people read, and what programs read. Human text and JSON both go to stdout; everything about it goes to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from rich import markup
from rich.console import Console
from rich.table import Table

from contracts.money import format_minor
from orderctl.events import Event, Verdict, short_name
from orderctl.following import Outcome

_COLOURS: Final = {
    "completed": "green",
    "cancelled": "yellow",
    "failed": "red",
    "needs_attention": "bold red",
    "command-rejected": "red",
    "attention-needed": "bold red",
}


class _Results(Console):
    """Rich ends a program whose output nobody reads any more as failed. That is the caller's to say (`cli.done`)."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def out() -> Console:
    """Where results go. Lines are never wrapped where nobody looks on: a program may read them."""
    console = _Results(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    return console


def err() -> Console:
    """Where progress and errors go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document on one line, at once."""
    sys.stdout.write(to_json(value).decode() + "\n")
    sys.stdout.flush()


def money(amount_minor: int | None, currency: str | None) -> str:
    """`1234, GBP` -> `12.34 GBP`; a dash where there is no amount yet."""
    if amount_minor is None:
        return "-"
    return format_minor(amount_minor, currency or "").rstrip()


def clock(at: str | None) -> str:
    """The local time of day of an RFC 3339 time, with milliseconds."""
    if at is None:
        return "-"
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return at


def visible(text: str) -> str:
    """The text with everything that does not print spelled out: what a stranger wrote must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def line(text: str) -> str:
    """The text as markup that shows as it is, on one line."""
    return markup.escape(visible(text))


def escape(text: str) -> str:
    """The text as markup that shows as it is; only its line breaks break lines."""
    return "\n".join(line(part) for part in text.split("\n"))


def coloured(word: str) -> str:
    """The word in the colour that it stands for, as markup."""
    colour = _COLOURS.get(word.lower())
    return f"[{colour}]{escape(word)}[/]" if colour else escape(word)


def event_line(event: Event) -> str:
    """One event on one line, as markup."""
    return told_line(event.at, event.outcome or event.name, event.data)


def told_line(at: str | None, name: str, data: Mapping[str, Any]) -> str:
    """What happened when, on one line, as markup."""
    shown = coloured(name) + " " * max(1, 20 - len(visible(name)))
    return f"{clock(at)}  {shown} {escape(facts(data))}".rstrip()


def facts(data: Mapping[str, Any]) -> str:
    """What is worth reading of an event's data."""
    told: list[str] = []
    if "command_type" in data:
        told.append(short_name(str(data["command_type"])) + (" (again)" if data.get("duplicate") else ""))
    if "sku" in data:
        told.append(f"{data['sku']} x {data['quantity']}" if "quantity" in data else str(data["sku"]))
    if data.get("items"):
        told.append(count(len(data["items"]), "line"))
    for field in ("total_minor", "amount_minor"):
        if data.get(field) is not None:
            told.append(money(data[field], data.get("currency")))
    named = ("on_hand", "delta", "charge_id", "customer_id", "tier")
    told += [f"{field} {data[field]}" for field in named if field in data]
    if data.get("approved_by"):
        told.append(f"by {data['approved_by']}")
    told += [str(data[field]) for field in ("greeting", "reason", "message") if data.get(field)]
    return ", ".join(told)


def count(number: int, what: str) -> str:
    """So many of them: `1 line`, `2 lines`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def verdict_line(verdict: Verdict) -> str:
    """A verdict on one line, as markup."""
    again = " (again: it had been decided before)" if verdict.duplicate else ""
    if verdict.accepted:
        return f"[green]accepted[/]{again}"
    return f"[red]rejected[/]: {escape(verdict.reason or '')}{again}. {escape(verdict.message or '')}".rstrip()


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The shape that `--json` prints."""
    return {
        "kind": "verdict",
        "command_id": verdict.command_id,
        "key": verdict.key,
        "accepted": verdict.accepted,
        "duplicate": verdict.duplicate,
        "reason": verdict.reason,
        "message": verdict.message,
        "type": verdict.type,
        "data": verdict.data,
    }


def outcome_line(outcome: Outcome) -> str:
    """How an order ended, as markup."""
    why = f": {escape(outcome.reason)}" if outcome.reason else ""
    total = f", {money(outcome.total_minor, outcome.currency)}" if outcome.total_minor is not None else ""
    return f"Order {escape(outcome.order_id)} {coloured(outcome.outcome)}{why}{total}"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The shape that `--json` prints."""
    return {
        "kind": "outcome",
        "order_id": outcome.order_id,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "total_minor": outcome.total_minor,
        "currency": outcome.currency,
        "exit_code": int(outcome.exit_code),
    }


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A plain table; `right` names the columns of numbers. Cells are markup."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made
