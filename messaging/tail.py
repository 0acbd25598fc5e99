"""A broker that no longer has what it acknowledged: how that is seen when a partition's offsets are compared with it, and from
where reading goes on then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: So many records before the end are read again: far more than come while a broker starts again and its clients connect, and a few
#: seconds' work.
REREAD: Final = 10_000

Offsets = Mapping[str, int]


def is_lost(offsets: Offsets, ends: Offsets, acked: Offsets, output_ends: Offsets) -> bool:
    """Whether a topic is shorter than what was read of it (`offsets` are the next ones), or than what was written to it (`acked`
    are the last ones)."""
    read = any(offset > ends[topic] for topic, offset in offsets.items())
    return read or any(offset >= output_ends.get(topic, offset + 1) for topic, offset in acked.items())


def moved(offsets: Offsets, begins: Offsets, ends: Offsets, lost: bool) -> dict[str, int]:
    """Those offsets that are others now: `lost`, `REREAD` before the ends, and never before the beginnings."""
    found = {}
    for topic, offset in offsets.items():
        goes_on = max(begins[topic], min(offset, ends[topic] - REREAD) if lost else offset)
        if goes_on != offset:
            found[topic] = goes_on
    return found
