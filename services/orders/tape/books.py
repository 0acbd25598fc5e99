"""What others have in their books about the order, as pieces of the tape: stock that moved, money that moved, mails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from services.orders.tape import words
from services.orders.tape.piece import Fact, Kind, Piece, moment, seconds
from services.orders.tape.told import ENDS

#: What makes stock or money move.
_MOVED_BY: Final[dict[str, tuple[str, ...]]] = {
    "stock.held": ("inventory.reserve-stock.v1",),
    "stock.refused": ("inventory.reserve-stock.v1",),
    "stock.released": ("inventory.release-stock.v1",),
    "stock.tombstone": ("inventory.release-stock.v1",),
    "stock.shipped": ("orders.order-completed.v1",),
    "money.charge": ("payment.charge.v1",),
    "money.refund": ("payment.refund.v1", "money.charge"),
}


def stock(movements: Iterable[Fact], pieces: Sequence[Piece]) -> list[Piece]:
    """What inventory held, refused, gave back and shipped; `movements` as its `GET /movements` has them."""
    found = []
    for fact in movements:
        type_, at = f"stock.{fact['kind']}", moment(fact["at"])
        data = {name: fact[name] for name in ("reservation_id", "items", "currency", "reason", "message")}
        cause = _cause(type_, data, at, pieces)
        found.append(_piece(f"{type_}:{data['reservation_id']}", at, type_, "inventory", data, cause))
    return found


def money(entries: Iterable[Fact], charges: Iterable[Fact], pieces: Sequence[Piece]) -> list[Piece]:
    """What moved at the gateway, with what payment knows of the charge; both as payment's queries have them."""
    known = {charge["charge_id"]: charge["status"] for charge in charges}
    found: list[Piece] = []
    numbers: Counter[str] = Counter()
    for fact in sorted(entries, key=lambda entry: (moment(entry["at"]), entry["kind"])):
        type_, at = f"money.{fact['kind']}", moment(fact["at"])
        data = {name: fact[name] for name in ("charge_id", "amount_minor", "currency")}
        status = known.get(fact["charge_id"])
        data |= {} if status is None else {"charge_status": status}
        name = f"{type_}:{fact['charge_id']}"
        numbers[name] += 1
        unique = name if numbers[name] == 1 else f"{name}#{numbers[name]}"
        cause = _cause(type_, data, at, (*pieces, *found))
        found.append(_piece(unique, at, type_, "gateway", data, cause))
    return found


def mails(rows: Iterable[Fact], pieces: Sequence[Piece]) -> list[Piece]:
    """What the customer was told; `rows` as notification's `GET /mails` has them. Nobody's address is in them."""
    ends = {piece.id: piece for piece in pieces if piece.type in ENDS}
    found = []
    for row in rows:
        at, end = moment(row["sent_at"] or row["created_at"]), ends.get(row.get("cause"))
        data = {name: row.get(name) for name in ("subject", "status", "attempts", "last_error", "message_id")}
        text = words.details({"attempts": row["attempts"] or None, "last_error": row["last_error"]})
        title = words.MAILS.get(row["status"], "Mail: {kind}").format(kind=row["kind"])
        cause = None if end is None else end.id
        found.append(
            Piece(
                row["message_id"],
                at,
                "mail",
                f"mail.{row['kind']}",
                title,
                text,
                data,
                cause=cause or row.get("cause"),
                worker="notification",
                duration_s=None if end is None else seconds(end.at, at),
                after=() if cause is None else (cause,),
            )
        )
    return found


def _piece(id_: str, at: datetime, type_: str, worker: str, data: Fact, cause: str | None) -> Piece:
    after = () if cause is None else (cause,)
    kind: Kind = "money" if type_.startswith("money.") else "stock"
    return Piece(
        id_, at, kind, type_, words.title(type_), words.details(data), data, cause=cause, worker=worker, after=after
    )


def _cause(type_: str, data: Fact, at: datetime, pieces: Iterable[Piece]) -> str | None:
    """The last thing before it that can have moved it; the first one of all where the clocks disagree."""
    able = [piece for piece in pieces if piece.type in _MOVED_BY.get(type_, ()) and _about(piece, data)]
    before = [piece for piece in able if piece.at <= at]
    return (before[-1].id if before else able[0].id) if able else None


def _about(piece: Piece, data: Fact) -> bool:
    if piece.type == "orders.order-completed.v1":
        return data["reservation_id"] in piece.data.get("reservation_ids", ())
    name = "charge_id" if "charge_id" in data else "reservation_id"
    return bool(piece.data.get(name) == data[name])
