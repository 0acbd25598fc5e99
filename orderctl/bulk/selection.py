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
    reason: str | None = None
    sku: str | None = None
    id_prefix: str | None = None

    @property
    def filters(self) -> bool:
        """Whether the orders are looked for, rather than named."""
        return self.older_than is not None or bool(self.query())

    def query(self) -> dict[str, str]:
        """What is said about the orders, as the orders API knows it, but for their age."""
        said = {
            "status": self.status,
            "waiting_for": self.waiting_for,
            "customer": self.customer,
            "reason": self.reason,
            "sku": self.sku,
            "id_prefix": self.id_prefix,
        }
        return {name: value for name, value in said.items() if value is not None}


def parse_age(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `7d`, `4w`. Raises `UsageError`."""
    found = _AGE.match(text)
    if found is None:
        raise UsageError(f"An age is a number and one of s, m, h, d, w, as in 2h; {text!r} is not.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def check(selection: Selection) -> None:
    """Raises `UsageError` where nothing is selected, or too much is said."""
    if selection.ids is None and not selection.filters:
        raise UsageError(
            "Say which orders: --status, --waiting-for, --customer, --sku, --id-prefix, --older-than, or --ids FILE."
        )
    if selection.ids is not None and selection.filters:
        raise UsageError("--ids names the orders; the filters cannot be combined with it.")


async def select(selection: Selection, apis: Apis, now: datetime, most: int | None = None) -> tuple[str, ...]:
    """The ids of the orders, the oldest first; named ones as they are in the file. Orders that have ended are left out unless their
    status is asked for: nothing can be said to them any more. More than `most` are refused, before all of them are read. Raises
    `UsageError`, `ApiUnreachableError`."""
    check(selection)
    if selection.ids is not None:
        return read_ids(selection.ids)
    query = {**selection.query(), "limit": _PAGE}
    if selection.older_than is not None:
        query["created_before"] = (now - selection.older_than).isoformat()
    found: list[str] = []
    while True:
        page = await apis.orders.get("/orders", query)
        wanted = (
            order for order in page["items"] if selection.status is not None or order["status"] not in ENDED_STATUSES
        )
        found += [str(order["order_id"]) for order in wanted]
        if most is not None and len(found) > most:
            raise UsageError(f"More than {most:,} orders fit; say more about them.")
        if page.get("next") is None:
            # Those that are found by the beginning of their id come in the order of ids.
            return tuple(found if selection.id_prefix is not None else reversed(found))
        query["after"] = str(page["next"])


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
