"""How what was said becomes entries of the history: what an order tells stands there one by one, what it asks stands with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from contracts.values import CommandData, EventData
from messaging.decision import Message
from messaging.stamp import Stamped

#: The note of a decision that told nothing and only asked.
ASKED: Final = "orders.asked"
#: The note on a message that was read and changed at most what the order knows.
NOTED: Final = "orders.noted"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an order's history, and the requests to participants that the same decision made after it."""

    key: str
    seq: int
    at: datetime
    type: str
    event_id: str | None
    data: CommandData | EventData | dict[str, object]
    caused_by: Message
    sent: list[Stamped] = field(default_factory=list)


def entries(said: Iterable[Stamped]) -> list[Entry]:
    """The entries for what was said, in order. A row costs more than what it holds, so a request has none of its own as long as the
    same decision told something."""
    found: list[Entry] = []
    for one in said:
        last = found[-1] if found else None
        if one.type.startswith("orders."):
            found.append(Entry(one.key, one.seq, one.at, one.type, one.event_id, one.data, one.caused_by))
        elif last is not None and last.caused_by is one.caused_by:
            last.sent.append(one)
        else:
            found.append(Entry(one.key, one.seq, one.at, ASKED, None, {}, one.caused_by, [one]))
    return found


def request_view(request: Stamped) -> dict[str, Any]:
    """A request as it stands in the history."""
    return {"sequence": request.seq, "type": request.type, "id": request.event_id, "data": request.data}
