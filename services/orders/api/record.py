"""What the orders database has on record about one order: its history, where each message of it stands, the verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from messaging.ports import Placed
from messaging.published import FetchOf, places

HISTORY: Final = """
SELECT seq, at, type, event_id, worker, data::text AS data, sent::text AS sent,
       cause, cause_type, cause_at, cause_topic, cause_partition, cause_offset, answers
FROM every_entry WHERE order_id = $1 ORDER BY seq
"""

COMMANDS: Final = """
SELECT source, id, type, accepted, reason, message, at, data::text AS data FROM every_command WHERE order_id = $1 ORDER BY at, id
"""


async def history_of(fetch_of: FetchOf, order_id: str) -> list[dict[str, Any]]:
    """The items of `GET /orders/{id}/history`, in order."""
    fetch = partial(fetch_of, order_id)
    rows = [_row(row) for row in await fetch(HISTORY, order_id)]
    # All of an order's messages are decided on its own partition; its first cause, a command, names it.
    partition = next((row["cause_partition"] for row in rows if row["cause_partition"] is not None), None)
    found = {} if partition is None else await places(fetch, partition, seqs_of(rows))
    return placed(rows, partition, found)


async def commands_of(fetch_of: FetchOf, order_id: str) -> list[dict[str, Any]]:
    """What each command to the order asked and was told; `accepted` is None while it is undecided, `data` where it is not known."""
    return [{**row, "data": json.loads(row["data"] or "null")} for row in await fetch_of(order_id, COMMANDS, order_id)]


def seqs_of(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """The numbers of everything in these entries that is published."""
    found: list[int] = []
    for row in rows:
        found += [row["sequence"]] if row["event_id"] is not None else []
        found += [request["sequence"] for request in row["sent"]]
    return found


def placed(
    rows: Sequence[Mapping[str, Any]], partition: int | None, found: Mapping[int, Placed]
) -> list[dict[str, Any]]:
    """The entries with the topic, partition and offset of what is published; None where that is not known yet, or no longer."""
    return [
        {
            **row,
            **_place(row["sequence"], partition, found),
            "sent": [{**request, **_place(request["sequence"], partition, found)} for request in row["sent"]],
        }
        for row in rows
    ]


def _place(seq: int, partition: int | None, found: Mapping[int, Placed]) -> dict[str, Any]:
    place = found.get(seq)
    if place is None:
        return {"topic": None, "partition": None, "offset": None}
    return {"topic": place.topic, "partition": partition, "offset": place.offset}


def _row(row: Any) -> dict[str, Any]:
    told = {**row, "data": json.loads(row["data"]), "sent": json.loads(row["sent"]) if row["sent"] else []}
    return {"sequence": told.pop("seq"), **told}
