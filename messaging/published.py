"""Where published messages stand, asked of a service's database by whoever answers queries over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from messaging.ports import Placed
from messaging.postgres_sql import PLACES

Fetch = Callable[..., Awaitable[Sequence[Any]]]
#: The same about one key, named first: its database alone is asked.
FetchOf = Callable[..., Awaitable[Sequence[Any]]]


async def places(fetch: Fetch, partition: int, seqs: Sequence[int]) -> dict[int, Placed]:
    """The places of those of a partition's messages that are known to be published, by their number. What is not there is on its
    way (a second at most while the broker and the owner of the partition are there), was forwarded, or was published more than
    60 to 90 days ago."""
    rows = await fetch(PLACES, partition, list(seqs)) if seqs else ()
    return {row["seq"]: Placed(row["seq"], row["topic"], row["offset"]) for row in rows}
