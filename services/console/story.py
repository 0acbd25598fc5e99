"""The tape as the order's page shows it: what went wrong is marked, what undoes something is paired with it; and what of all that
people and programs wrote a viewer reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from contracts.inventory import CommandRefusal, RefusalReason
from contracts.orders import EndReason, RejectionReason
from orderctl.doctor.chain import Link
from services.console.domain import HIDDEN, REASONS, Role, Stop, masked

#: Words of a type, or of what became of a mail, that tell of something that did not work.
_BAD: Final = ("failed", "rejected", "refused", "declined", "unknown", "attention-needed", "undeliverable", "too-late")
_UNDOING: Final = ("released", "refunded", "voided", "void-charge", "release-stock", "refund")
#: While an order stands so, the last thing that went wrong is why.
_TROUBLED: Final = frozenset({"FAILED", "NEEDS_ATTENTION", "COMPENSATING", "PAYING"})
#: Of a mail everybody may see that much.
_OF_A_MAIL: Final = ("subject", "status", "attempts")
#: What a person or a program wrote as it liked. The tape's text holds it word for word.
_WRITTEN: Final = ("reason", "message", "error", "last_error", "evidence", "approved_by", "operator", "greeting")
#: Reasons that are words of the contract and not of anybody's own.
_CODES: Final = frozenset(
    code for kind in (EndReason, RejectionReason, RefusalReason, CommandRefusal) for code in get_args(kind)
)
#: These tell that it went wrong, not what.
_NO_CAUSE: Final = frozenset({"orders.order-failed.v1", "orders.command-rejected.v1"})


def shown(items: Sequence[Mapping[str, Any]], customer_id: str, role: Role) -> list[dict[str, Any]]:
    """The entries, numbered from 1 (`n`). `undoes` and `undone_by`: the number and the title of the entry that it is paired with.
    Who only looks on gets no bodies of messages, and no customer's id; of mails, what they are called and how far they came."""
    found = [{**item, "n": n, **_marks(item)} for n, item in enumerate(items, 1)]
    by_id = {item["id"]: item for item in found if item.get("id")}
    for item in found:
        undone = by_id.get((item.get("data") or {}).get("undoes"))
        if undone is not None:
            item["undoes"] = {"n": undone["n"], "title": undone["title"]}
            # The page links to it: the words that say the same are left out.
            item["text"] = str(item.get("text") or "").rpartition("undoes: ")[0].rstrip("; ")
            # The last one tells how far it came: asked for, or done.
            undone["undone_by"] = {"n": item["n"], "title": item["title"]}
    return [_masked(item, customer_id) for item in found] if role == "viewer" else found


def _marks(item: Mapping[str, Any]) -> dict[str, bool]:
    told = f"{item.get('type') or ''} {(item.get('data') or {}).get('status') or ''}"
    bad = item.get("kind") not in {"command", "request", "attempt"} and any(word in told for word in _BAD)
    return {"bad": bad, "undoing": not bad and any(word in told for word in _UNDOING)}


def _masked(item: dict[str, Any], customer_id: str) -> dict[str, Any]:
    data, text = item.get("data") or {}, str(item.get("text") or "")
    written = {str(data[name]) for name in _WRITTEN if data.get(name)} - _CODES
    if written:
        # The longest first: one may be a part of another.
        text = re.sub("|".join(map(re.escape, sorted(written, key=len, reverse=True))), HIDDEN, text)
    hidden = {"title": str(item.get("title") or ""), "text": text}
    if customer_id:
        hidden = {name: told.replace(customer_id, masked(customer_id, "viewer")) for name, told in hidden.items()}
    mail = item.get("kind") == "mail"
    return {**item, **hidden, "data": {name: item["data"].get(name) for name in _OF_A_MAIL} if mail else {}}


@dataclass(frozen=True, slots=True)
class Fact:
    """One of a chain, and the number of the entry that tells it; None: the order itself does."""

    fact: str
    n: int | None


@dataclass(frozen=True, slots=True)
class Chain:
    """Why an order failed, each link because of the next, and what of it was undone."""

    links: tuple[Fact, ...]
    undone: tuple[Fact, ...]


def why_failed(order: Mapping[str, Any], road: Sequence[Stop], tape: Sequence[Mapping[str, Any]]) -> Chain:
    """From a failed order's story: at which step, of which cause, and what was given back."""
    step = next((stop.label for stop in road if stop.state == "failed"), "its end")
    links = [Fact(f"It failed at the step “{step}”: {REASONS.get(str(order['reason']), str(order['reason']))}.", None)]
    cause = failure("FAILED", tape)
    if cause is not None:
        text = f": {cause['text']}" if cause.get("text") else ""
        links.append(Fact(f"{cause['title']}{text}", cause["n"]))
    # What was asked for, and what came of it, undo the same: the last one tells how far it came.
    last = {item["undoes"]["n"]: item for item in tape if item.get("undoes")}
    undone = [Fact(f"{item['title']} (undoes {item['undoes']['title']})", item["n"]) for item in last.values()]
    return Chain(tuple(links), tuple(undone))


def failure(status: str, tape: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What went wrong last with an order that failed, or that is kept up by it; None: nothing."""
    if status not in _TROUBLED:
        return None
    causes = (item for item in reversed(tape) if item["bad"] and item.get("type") not in _NO_CAUSE)
    return next(causes, None)


def chain(links: Sequence[Link], role: Role) -> list[str]:
    """The doctor's chain. A viewer reads what the doctor says, and not the errors and messages that it quotes."""
    return [link.unquoted(HIDDEN) if role == "viewer" else link.fact for link in links]


def acts(rows: Sequence[Mapping[str, Any]], role: Role) -> list[dict[str, Any]]:
    """What was done. A viewer reads who did what and what came of it, and neither why nor the words of an error."""
    if role != "viewer":
        return [dict(row) for row in rows]
    return [{**row, "reason": HIDDEN, "outcome": _came_of_it(str(row["outcome"]))} for row in rows]


def _came_of_it(outcome: str) -> str:
    told, _, rest = outcome.partition(": ")
    if told.isdigit():
        # Of many letters: how many of them came to what.
        return f"{told}: {_came_of_it(rest)}"
    return f"{told}: {rest}" if rest in _CODES else told
