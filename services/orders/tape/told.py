"""The order's own history as pieces of the tape: what came in, what the order said about it, what it asked, what it noted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from contracts.topics import COMMAND_TOPICS, ORDERS_OPERATIONS
from services.orders.history import ASKED, NOTED
from services.orders.tape import words
from services.orders.tape.piece import Fact, Kind, Piece, message, moment, seconds

#: A timer that fires this much after it was due was late.
LATE_S: Final = 1.0
VERDICTS: Final = frozenset({"orders.command-accepted.v1", "orders.command-rejected.v1"})
ENDS: Final = frozenset(
    {"orders.order-completed.v1", "orders.order-cancelled.v1", "orders.order-failed.v1", "orders.greeted.v1"}
)
#: Requests that are made until they work, each with the number of its attempt.
ATTEMPTS: Final = frozenset({"payment.charge.v1", "payment.void-charge.v1", "payment.refund.v1"})
#: Answers from before payment named the request: they name its call at the gateway, so what they are about follows from their type.
_CALL: Final = "effect/"
_ABOUT: Final[Mapping[str, str]] = {
    "payment.charge-captured.v1": "payment.charge.v1",
    "payment.charge-declined.v1": "payment.charge.v1",
    "payment.charge-failed.v1": "payment.charge.v1",
    "payment.charge-unknown.v1": "payment.charge.v1",
    "payment.charge-voided.v1": "payment.void-charge.v1",
    "payment.void-failed.v1": "payment.void-charge.v1",
    "payment.refunded.v1": "payment.refund.v1",
    "payment.refund-failed.v1": "payment.refund.v1",
}
_NOTES: Final[Mapping[str, Kind]] = {
    "orders.retry-scheduled": "retry",
    "orders.asked-again": "retry",
    "orders.retried-now": "operator",
    "orders.cancelled-by-operator": "operator",
    "orders.evidence-given": "operator",
}


@dataclass(slots=True)
class Told:
    """The pieces so far, and what the later ones need of them. What came twice is two pieces, with ids unlike each other."""

    pieces: list[Piece] = field(default_factory=list)
    requests: dict[str, Piece] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    last: str | None = None
    began_at: datetime | None = None
    _ids: set[str] = field(default_factory=set)

    def add(self, piece: Piece) -> Piece:
        """Put a piece on the tape, under an id of its own."""
        number, wanted = 1, piece.id or piece.kind
        unique = wanted
        while unique in self._ids:
            number += 1
            unique = f"{wanted}#{number}"
        self._ids.add(unique)
        added = replace(piece, id=unique)
        self.pieces.append(added)
        return added

    def last_request(self, type_: str | None) -> Piece | None:
        """The last request of this type."""
        return next((asked for asked in reversed(self.requests.values()) if asked.type == type_), None)

    def say(self, piece: Piece) -> Piece:
        """Put something that the order said on the tape: an order says one thing after another."""
        after = piece.after if self.last is None else (*piece.after, self.last)
        added = self.add(replace(piece, after=after))
        self.last = added.id
        return added


def told(history: Sequence[Fact], commands: Iterable[Fact]) -> Told:
    """The pieces of a history (as `GET /orders/{id}/history` has it) with the verdicts on record."""
    found, verdicts = Told(), {(row["id"], row["type"]): row for row in commands}
    for _, rows in groupby(history, key=_cause):
        decided = list(rows)
        verdict = verdicts.get((decided[0]["cause"], decided[0]["cause_type"]))
        came = found.add(replace(_came(found, decided[0], verdict), seen_at=moment(decided[0]["at"])))
        if came.kind in {"command", "operator"}:
            found.asked_at.setdefault(decided[0]["cause"], came.at)
        for row in decided:
            if row["type"] not in {ASKED, NOTED}:
                found.say(_said(found, row, came))
            for request in row["sent"]:
                asked = found.say(_asked(found, request, row, came))
                found.requests[request["id"]] = asked
    return found


def _cause(row: Fact) -> tuple[Any, ...]:
    # All timers of an order have one id; when they were due tells them apart.
    return row["cause"], row["cause_type"], row["cause_topic"], row["cause_offset"], row["cause_at"]


# --- what came in -----------------------------------------------------------------------------------------------------


def _came(found: Told, row: Fact, verdict: Fact | None) -> Piece:
    at, type_, topic = moment(row["cause_at"]), row["cause_type"], row["cause_topic"]
    place = message("in", topic, row["cause_partition"], row["cause_offset"], row["cause"])
    if topic is None:
        return _timer(row, at)
    if topic in COMMAND_TOPICS:
        kind: Kind = "operator" if topic == ORDERS_OPERATIONS else "command"
        asked = {} if verdict is None else verdict["data"] or {}
        data = {**asked, **({} if verdict is None else {"source": verdict["source"]})}
        pending = ["not decided yet"] if verdict is not None and verdict["accepted"] is None else []
        text = ", ".join(told for told in (words.details(asked), *pending) if told)
        return Piece(row["cause"], at, kind, type_, words.title(type_), text, data, message=place)
    answers = row["answers"] or ""
    request = found.last_request(_ABOUT.get(type_)) if answers.startswith(_CALL) else found.requests.get(answers)
    service = type_.split(".")[0]
    heading = f"{service} {'answered' if request else 'told'}: {words.short(type_).replace('-', ' ')}"
    reply = Piece(row["cause"], at, "reply", type_, heading, "", cause=row["answers"], message=place, worker=service)
    if request is None or request.id is None:
        return reply
    return replace(
        reply, cause=request.id, duration_s=seconds(request.at, at), after=(request.id, *_settled_by(request, type_))
    )


def _timer(row: Fact, due_at: datetime) -> Piece:
    late_s = seconds(due_at, moment(row["at"]))
    text = f"seen {words.spoken(late_s)} late" if late_s >= LATE_S else ""
    following = row["sent"][0]["type"] if row["type"] == ASKED else row["type"]
    title = words.TIMERS.get(following, words.TIMER)
    return Piece(f"timer-{row['sequence']}", due_at, "timer", row["cause_type"], title, text)


def _settled_by(request: Piece, reply: str) -> tuple[str, ...]:
    """What a participant has in its books stands before its answer about it."""
    reservation, charge = request.data.get("reservation_id"), request.data.get("charge_id")
    books = {
        "inventory.stock-reserved.v1": f"stock.held:{reservation}",
        "inventory.reservation-refused.v1": f"stock.refused:{reservation}",
        "inventory.stock-released.v1": f"stock.released:{reservation}",
        "payment.charge-captured.v1": f"money.charge:{charge}",
        "payment.refunded.v1": f"money.refund:{charge}",
    }
    return (books[reply],) if reply in books else ()


# --- what went out ----------------------------------------------------------------------------------------------------


def _said(found: Told, row: Fact, came: Piece) -> Piece:
    at, type_, data = moment(row["at"]), row["type"], row["data"]
    after = () if came.id is None else (came.id,)
    said = Piece(
        row["event_id"] or f"note-{row['sequence']}",
        at,
        _NOTES.get(type_, "note"),
        type_,
        words.title(type_),
        words.details(data),
        data,
        cause=came.id,
        worker=row["worker"],
        after=after,
    )
    if row["event_id"] is None:
        return replace(said, duration_s=data.get("delay_s"))
    place = message("out", row["topic"], row["partition"], row["offset"], row["event_id"])
    if type_ in VERDICTS:
        # An added line is decided by inventory's answer; the verdict is the command's all the same.
        asked_at = found.asked_at.get(data.get("command_id"), came.at)
        return replace(said, kind="verdict", message=place, duration_s=seconds(asked_at, at))
    found.began_at = found.began_at or at
    took_s = seconds(found.began_at, at) if type_ in ENDS else None
    return replace(said, kind="event", message=place, duration_s=took_s)


def _asked(found: Told, request: Fact, row: Fact, came: Piece) -> Piece:
    type_, data = request["type"], request["data"]
    place = message("out", request["topic"], request["partition"], request["offset"], request["id"])
    return Piece(
        request["id"],
        moment(row["at"]),
        "attempt" if type_ in ATTEMPTS else "request",
        type_,
        words.title(type_),
        words.details(data),
        data,
        cause=came.id,
        message=place,
        worker=row["worker"],
        after=() if came.id is None else (came.id,),
    )
