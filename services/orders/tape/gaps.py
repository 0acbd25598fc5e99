"""The time between entries in words: what the order was waiting for, as its own record tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.orders.tape import words
from services.orders.tape.piece import Fact, Piece, seconds
from services.orders.tape.told import ENDS

#: Shorter than this is no gap.
GAP_S: Final = 1.0


@dataclass(slots=True)
class Waiting:
    """What the order waits for, as far as the entries up to now tell. Requests are told apart by what they are about: one that is
    made again is the same."""

    requests: dict[tuple[str, str], Piece] = field(default_factory=dict)
    approval: bool = False
    retry: bool = False
    person: bool = False
    paused: bool = False
    ended: bool = False

    def hear(self, piece: Piece) -> None:
        """The next entry."""
        match piece.kind:
            case "request" | "attempt" if piece.type in words.AWAITED:
                self.requests[_about(piece)] = piece
                self.retry = self.person = False
            case "reply":
                self._answered(piece)
            case "retry":
                self.retry = piece.type == "orders.retry-scheduled"
            case "note":
                self.person = self.person or piece.type == "orders.attempt-failed"
            case "event":
                self._event(piece)

    def _answered(self, reply: Piece) -> None:
        asked = next((about for about, request in self.requests.items() if request.id == reply.cause), None)
        if asked is not None:
            del self.requests[asked]

    def _event(self, event: Piece) -> None:
        match event.type:
            case "orders.stock-reserved.v1":
                self.approval = True
            case "orders.payment-approved.v1":
                self.approval = False
            case "orders.order-enriched.v1":
                self.requests.clear()  # a recommendation is not waited for any longer
            case "orders.order-paused.v1":
                self.paused = True
            case "orders.order-resumed.v1":
                self.paused = False
            case type_ if type_ in ENDS:
                self.ended = True

    def why(self) -> str:
        """In words."""
        if self.ended:
            return words.ENDED
        if self.paused:
            return words.PAUSED
        if self.retry:
            return words.RETRY
        if self.requests:
            return words.waiting_for([request.type or "" for request in self.requests.values()])
        if self.person:
            return words.PERSON
        return words.APPROVAL if self.approval else words.NOTHING


def _about(piece: Piece) -> tuple[str, str]:
    ids = (piece.data.get(name) for name in ("reservation_id", "refund_id", "charge_id", "request_id"))
    return piece.type or "", next((str(found) for found in ids if found is not None), "")


def with_gaps(pieces: Iterable[Piece], order: Fact, now: datetime) -> list[Piece]:
    """The pieces with a gap between two of them wherever nothing happened for a second or more, and behind the last one of an order
    that has not ended."""
    waiting, found, came = Waiting(), list[Piece](), list[Piece]()
    latest: datetime | None = None
    for piece in pieces:
        if latest is not None and seconds(latest, piece.at) >= GAP_S:
            found.append(_gap(latest, piece.at, _unseen(came, piece.at) or waiting.why()))
        found.append(piece)
        came += [] if piece.seen_at is None else [piece]
        waiting.hear(piece)
        latest = piece.at if latest is None else max(latest, piece.at)
    if latest is not None and not waiting.ended and seconds(latest, now) >= GAP_S:
        found.append(_open_gap(latest, now, waiting, order))
    return found


def _unseen(came: Iterable[Piece], until: datetime) -> str | None:
    """The words for what had come and was not seen before `until`: then nothing else was waited for."""
    waited = next((piece for piece in came if piece.seen_at is not None and piece.seen_at >= until), None)
    if waited is None:
        return None
    return words.UNSEEN if waited.message is None else words.UNREAD.format(topic=waited.message["topic"])


def _gap(since: datetime, until: datetime, why: str) -> Piece:
    took_s = seconds(since, until)
    title = why[:1].upper() + why[1:]
    return Piece(None, since, "gap", None, title, words.gap(took_s, why), {"until": until}, duration_s=took_s)


def _open_gap(since: datetime, now: datetime, waiting: Waiting, order: Fact) -> Piece:
    took_s, why = seconds(since, now), waiting.why()
    title = why[:1].upper() + why[1:]
    deadline = order.get("deadline")
    until = f", until {words.clock(deadline)} at most" if deadline is not None else ""
    text = words.gap(took_s, why, open_end=True) + until
    data = {"until": None, "waiting_for": order.get("waiting_for"), "deadline": deadline}
    return Piece(None, since, "gap", None, title, text, data, duration_s=took_s)
