"""What a dry run reads like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from orderctl import render
from orderctl.events import short_name
from orderctl.exits import Exit

_FOOTNOTE: Final = "Foreseen as if every service answered at once and in the best way; nothing was sent."
#: What a plan tells of a step beyond the usual facts.
_NAMED: Final = ("operator", "reservation_id")
#: What nobody looks for in a plan.
_NOISE: Final = frozenset({"command_id", "duplicate", "request_id", "levels", "recommendations"})


def exit_of(plan: Mapping[str, Any]) -> Exit:
    """0 unless the command would be refused."""
    return Exit.REJECTED if plan["verdict"]["accepted"] is False else Exit.OK


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The plan, line by line, as markup."""
    yield f"{render.escape(plan['order_id'])}: {short_name(plan['type'])}, while {_standing(plan['before'])}"
    yield f"  verdict  {_verdict(plan['verdict'])}"
    if plan["then"] or plan["verdict"]["accepted"]:
        yield from _steps("at once", plan["steps"])
    yield from _steps("then", plan["then"])
    yield from _moves("money", (f"{move['kind']} {_amount(move)}" for move in plan["money"]))
    yield from _moves("stock", (f"{move['kind']} {_pieces(move)}" for move in plan["stock"]))
    yield f"  outcome  {_standing(plan['outcome'])}"
    yield f"[dim]{_FOOTNOTE}[/]"


def _verdict(verdict: Mapping[str, Any]) -> str:
    message = render.escape(verdict.get("message") or "")
    if verdict["accepted"] is None:
        return f"not decided yet. {message}"
    again = " (again: it changes nothing)" if verdict["duplicate"] else ""
    if verdict["accepted"]:
        return f"[green]would be accepted[/]{again}"
    return f"[red]would be rejected[/]: {render.escape(verdict['reason'])}{again}. {message}".rstrip()


def _standing(standing: Mapping[str, Any] | None) -> str:
    if standing is None:
        return "there is no such order"
    why = standing.get("reason") or (f"waiting for {standing['waiting_for']}" if standing.get("waiting_for") else None)
    told = f"{render.coloured(standing['status'])}{f' ({render.escape(why)})' if why else ''}"
    return f"{told}, paused" if standing.get("paused") else told


def _steps(title: str, steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for number, step in enumerate(steps):
        data = step["data"]
        named_ids = [str(data[name]) for name in _NAMED if name in data]
        facts = ", ".join(filter(None, [*named_ids, render.facts({n: v for n, v in data.items() if n not in _NOISE})]))
        named = step["type"] if step["topic"] is None else f"{step['type']} on {step['topic']}"
        line = f"{step['kind']:<8} {render.escape(named)}  {render.escape(facts)}".rstrip()
        yield f"  {title if number == 0 else '':<8} {line}"


def _moves(title: str, moves: Iterable[str]) -> Iterator[str]:
    told = list(moves) or ["nothing moves"]
    for number, move in enumerate(told):
        yield f"  {title if number == 0 else '':<8} {render.escape(move)}"


def _amount(move: Mapping[str, Any]) -> str:
    if move["amount_minor"] is None:
        return "what the catalogue's prices make it"
    return render.money(move["amount_minor"], move["currency"])


def _pieces(move: Mapping[str, Any]) -> str:
    return "what is reserved" if move["sku"] is None else f"{move['sku']} x {move['quantity']}"
