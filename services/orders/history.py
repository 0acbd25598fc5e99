"""How what was said becomes entries of the history: what an order tells stands there one by one, what it asks stands with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from messaging.stamp import Stamped

#: The note of a decision that told nothing and only asked.
ASKED: Final = "orders.asked"
#: The note on a message that was read and changed at most what the order knows.
NOTED: Final = "orders.noted"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an order's history, and the requests to participants that the same decision made after it."""

    said: Stamped
    sent: list[Stamped] = field(default_factory=list)


def entries(said: Iterable[Stamped]) -> list[Entry]:
    """The entries for what was said, in order. A row costs more than what it holds, so a request has none of its own as long as the
    same decision told something."""
    found: list[Entry] = []
    for one in said:
        if one.type.startswith("orders."):
            found.append(Entry(one))
        elif found and found[-1].said.caused_by is one.caused_by:
            found[-1].sent.append(one)
        else:
            found.append(Entry(one._replace(type=ASKED, data={}, event_id=None, wire=None), [one]))
    return found
