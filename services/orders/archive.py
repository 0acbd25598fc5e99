"""Orders that have been at rest for long, out of the tables that every batch writes: `python -m services.orders.archive --days 90`.

They are still known: their ids, states and histories are answered as ever, and what comes for one of them finds it where it was
(docs/adr/0021-archive.md). It may run at any time, beside any number of workers, and be interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from messaging.errors import SettingsError
from messaging.spread import DatabaseUrls
from services.orders.archive_sql import ARCHIVE, COUNT

#: Orders a transaction: their locks are held for a fraction of a second.
BATCH: Final = 500
_ANCIENT: Final = datetime(1, 1, 1, tzinfo=UTC)
_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2

OnMoved = Callable[[int], None]


async def archive(dsn: str, before: datetime, most: int | None = None, on_moved: OnMoved | None = None) -> int:
    """Move the orders of this database that have been at rest since `before`, at most `most`; returns how many. `on_moved` is told
    so far after each transaction."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=60)
    moved, last = 0, (_ANCIENT, "")
    try:
        while most is None or moved < most:
            wanted = BATCH if most is None else min(BATCH, most - moved)
            rows = await connection.fetch(ARCHIVE, before, *last, wanted)
            if not rows:
                break
            moved, last = moved + len(rows), tuple(rows[-1])
            if on_moved is not None:
                on_moved(moved)
    finally:
        await connection.close()
    return moved


async def due(dsn: str, before: datetime) -> int:
    """How many `archive` would move. It looks at every order that has ended."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=600)
    try:
        return int(await connection.fetchval(COUNT, before, _ANCIENT, ""))
    finally:
        await connection.close()


async def run(dsns: Sequence[str], before: datetime, most: int | None, *, dry_run: bool) -> int:
    """All databases, one after the other, with progress on the standard error. Returns how many orders were moved, or would be."""
    total = 0
    for number, dsn in enumerate(dsns, start=1):
        left = None if most is None else most - total
        if dry_run:
            found = await due(dsn, before)
            total += found if left is None else min(found, left)
            continue

        def tell(moved: int, number: int = number) -> None:
            print(f"database {number} of {len(dsns)}: {moved} orders archived", file=sys.stderr, flush=True)

        total += await archive(dsn, before, left, tell)
    return total


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """0: done; 1: a database did not answer, what was moved is moved; 2: wrong arguments or settings."""
    parser = argparse.ArgumentParser(
        prog="python -m services.orders.archive", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--days", type=float, required=True, help="at rest for so long (90; 0.5 is half a day)")
    parser.add_argument("--most", type=int, help="so many orders at most")
    parser.add_argument("--dry-run", action="store_true", help="tell how many, move none")
    parser.add_argument("--json", action="store_true", help='print {"archived": n, "before": time, "dry_run": bool}')
    asked = parser.parse_args(argv)
    if not 0 <= asked.days <= 36_500 or (asked.most is not None and asked.most < 1):
        parser.error("--days is a number from 0 to 36500, --most a whole number from 1")
    before = datetime.now(UTC) - timedelta(days=asked.days)
    try:
        dsns = DatabaseUrls("orders").read(env)
        moved = asyncio.run(run(dsns, before, asked.most, dry_run=asked.dry_run))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_USAGE
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(
            f"error: the database did not answer: {error or type(error).__name__}. Run it again: it goes on.",
            file=sys.stderr,
        )
        return _EXIT_FAILED
    if asked.json:
        print(json.dumps({"archived": moved, "before": before.isoformat(), "dry_run": asked.dry_run}))
    else:
        print(
            f"{moved} orders at rest since {before:%Y-%m-%d %H:%M} UTC {'would be' if asked.dry_run else 'are'} archived"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
