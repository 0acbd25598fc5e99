"""Which orders a bulk command is about."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from contracts.values import is_id
from orderctl.errors import UsageError
from orderctl.events import ENDED_STATUSES
from orderctl.http import Apis

_AGE: Final = re.compile(r"^([0-9]{1,6})([smhdw])$")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PAGE: Final = "500"
STDIN: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was said about them: either what the orders API filters by, or a file of ids."""

    status: str | None = None
    waiting_for: str | None = None
    customer: str | None = None
    older_than: timedelta | None = None
    ids: Path | None = None

    @property
    def filters(self) -> bool:
        """Whether the orders are looked for, rather than named."""
        return any(said is not None for said in (self.status, self.waiting_for, self.customer, self.older_than))


def parse_age(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `7d`, `4w`. Raises `UsageError`."""
    found = _AGE.match(text)
    if found is None:
        raise UsageError(f"An age is a number and one of s, m, h, d, w, as in 2h; {text!r} is not.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def check(selection: Selection) -> None:
    """Raises `UsageError` where nothing is selected, or too much is said."""
    if selection.ids is None and not selection.filters:
        raise UsageError("Say which orders: --status, --waiting-for, --customer, --older-than, or --ids FILE.")
    if selection.ids is not None and selection.filters:
        raise UsageError("--ids names the orders; the filters cannot be combined with it.")


async def select(selection: Selection, apis: Apis, now: datetime) -> tuple[str, ...]:
    """The ids of the orders, the oldest first; named ones as they are in the file. Orders that have ended are left out unless their
    status is asked for: nothing can be said to them any more. Raises `UsageError`, `ApiUnreachableError`."""
    check(selection)
    if selection.ids is not None:
        return read_ids(selection.ids)
    query = {"status": selection.status, "waiting_for": selection.waiting_for, "customer": selection.customer}
    if selection.older_than is not None:
        query["created_before"] = (now - selection.older_than).isoformat()
    said = {name: value for name, value in query.items() if value is not None}
    found = await apis.orders.get_all("/orders", {**said, "limit": _PAGE})
    wanted = [order for order in found if selection.status is not None or order["status"] not in ENDED_STATUSES]
    return tuple(str(order["order_id"]) for order in reversed(wanted))


def read_ids(path: Path) -> tuple[str, ...]:
    """One id on a line; empty lines and `#` comments are passed over, and what stands twice counts once. `-` is stdin.
    Raises `UsageError`."""
    try:
        lines = sys.stdin.read().splitlines() if path == STDIN else path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The file of ids cannot be read: {error}") from None
    return tuple(dict.fromkeys(_ids(lines)))


def _ids(lines: Iterable[str]) -> Iterable[str]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not is_id(text):
            raise UsageError(f"Line {number} of the file of ids is no order id: {text[:80]!r}.")
        yield text
