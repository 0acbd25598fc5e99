"""The tape of one order, put together: pieces from everybody's books, paired, in causal order, with the gaps explained."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from services.orders.tape import books, words
from services.orders.tape.gaps import with_gaps
from services.orders.tape.piece import Fact, Piece
from services.orders.tape.told import told

#: What a compensation undoes: by which field both name the same thing, and the types of what is undone.
UNDOES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "inventory.release-stock.v1": ("reservation_id", ("stock.held", "inventory.reserve-stock.v1")),
    "payment.void-charge.v1": ("charge_id", ("payment.charge.v1",)),
    "payment.refund.v1": ("charge_id", ("orders.payment-captured.v1", "payment.charge.v1")),
    "orders.stock-released.v1": ("reservation_id", ("orders.stock-reserved.v1", "orders.line-item-added.v1")),
    "orders.payment-refunded.v1": ("charge_id", ("orders.payment-captured.v1",)),
    "stock.released": ("reservation_id", ("stock.held",)),
    "money.refund": ("charge_id", ("money.charge",)),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on record: the order and its history as the orders API tells them, the commands with their verdicts, inventory's
    movements, the gateway's entries, payment's charges, notification's mails. What nobody could tell is empty."""

    order: Fact
    history: Sequence[Fact]
    commands: Sequence[Fact] = ()
    movements: Sequence[Fact] = ()
    entries: Sequence[Fact] = ()
    charges: Sequence[Fact] = ()
    mails: Sequence[Fact] = ()


def assemble(facts: Facts, now: datetime) -> list[dict[str, Any]]:
    """The entries in causal order: each stands after its cause, else by its time. Times are told as they are: where two clocks
    disagree, an entry may have an earlier time than its cause above it."""
    own = told(facts.history, facts.commands).pieces
    others = [
        *books.stock(facts.movements, own),
        *books.money(facts.entries, facts.charges, own),
        *books.mails(facts.mails, own),
    ]
    ordered = in_causal_order(paired([*own, *others]))
    return [piece.as_json() for piece in with_gaps(ordered, facts.order, now)]


def paired(pieces: Sequence[Piece]) -> list[Piece]:
    """The same pieces, where one undoes another with that one's name."""
    by_subject: dict[tuple[str, str, Any], Piece] = {}
    for piece in pieces:
        for name in ("reservation_id", "charge_id"):
            if piece.type is not None and name in piece.data:
                by_subject.setdefault((piece.type, name, piece.data[name]), piece)
    return [_paired(piece, by_subject) for piece in pieces]


def _paired(piece: Piece, by_subject: Mapping[tuple[str, str, Any], Piece]) -> Piece:
    name, types = UNDOES.get(piece.type or "", ("", ()))
    subjects = (by_subject.get((type_, name, piece.data.get(name))) for type_ in types)
    undone = next((found for found in subjects if found is not None), None)
    if undone is None:
        return piece
    text = f"undoes: {undone.title} of {words.clock(undone.at)}"
    text = f"{piece.text}; {text}" if piece.text else text
    return replace(piece, text=text, data={**piece.data, "undoes": undone.id})


def in_causal_order(pieces: Iterable[Piece]) -> list[Piece]:
    """By time, but never before what they stand after. A circle, which no honest record has, is broken by time."""
    waiting = dict(enumerate(pieces))
    numbers = {piece.id: number for number, piece in waiting.items()}
    followers: dict[int, list[int]] = defaultdict(list)
    missing: dict[int, int] = {}
    for number, piece in waiting.items():
        causes = {numbers[cause] for cause in piece.after if cause in numbers}
        missing[number] = len(causes)
        for cause in causes:
            followers[cause].append(number)
    ready = [(piece.at, number) for number, piece in waiting.items() if not missing[number]]
    heapq.heapify(ready)
    ordered: list[Piece] = []
    while waiting:
        if not ready:
            ready = [min((piece.at, number) for number, piece in waiting.items())]
        number = heapq.heappop(ready)[1]
        if number not in waiting:
            continue
        ordered.append(waiting.pop(number))
        for follower in followers[number]:
            missing[follower] -= 1
            if not missing[follower] and follower in waiting:
                heapq.heappush(ready, (waiting[follower].at, follower))
    return ordered
