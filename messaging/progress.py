"""What a process tells of itself at `/progress`: where each of its partitions stands, since when, and what went wrong last.

Nothing here asks anybody: it puts together what the loop has noted anyway, so that a look does not disturb what is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from messaging.safe_text import safe_text
from messaging.settings import Settings
from messaging.version import code_version
from messaging.worker import PartitionWorker

LONGEST_TEXT: Final = 300
#: A timer fires in the turn after its time; it is overdue only when that turn should have come long ago.
OVERDUE_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong, in one line, and when."""

    at: datetime
    text: str


def failure(error: BaseException, at: datetime, doing: str = "") -> Failure:
    """The error as one line of bounded length; `doing` says what it kept from being done."""
    text = safe_text(error)
    return Failure(at, f"{doing}: {text}"[:LONGEST_TEXT] if doing else text[:LONGEST_TEXT])


@dataclass(slots=True)
class Notes:
    """What a partition's loop notes about itself as it goes. `busy_since`: the turn at hand began then; None: it waits for
    something to do. `outbox_since`: for so long something has been waiting to be published without any of it being so."""

    progressed_at: datetime | None = None
    busy_since: datetime | None = None
    outbox_since: datetime | None = None
    last_error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """Where each topic's partition ended when the broker was asked, and how far the reader had come."""

    at: datetime
    ends: Mapping[str, int] = field(default_factory=dict)
    read: Mapping[str, int] = field(default_factory=dict)

    def lag(self, offsets: Mapping[str, int]) -> int:
        """How many records wait behind these offsets. Where an offset holds no record (a transaction's marker), `read` says so."""
        return sum(max(0, end - max(offsets.get(t, 0), self.read.get(t, 0))) for t, end in self.ends.items())


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One owned partition, as its runner is now."""

    worker: PartitionWorker
    notes: Notes
    ready: bool
    failing: bool
    effects_under_way: int


def partition_progress(view: PartitionView, ends: Ends | None, now: datetime) -> dict[str, Any]:
    """How the partition stands, as JSON. `lag` is null where the broker was not asked yet."""
    worker, notes = view.worker, view.notes
    due = worker.next_due
    return {
        "partition": worker.partition,
        "epoch": worker.epoch,
        "ready": view.ready,
        "failing": view.failing,
        "last_error": _told(notes.last_error),
        "offsets": dict(worker.offsets),
        "ends": dict(ends.ends) if ends is not None else {},
        "ends_at": ends.at if ends is not None else None,
        "lag": ends.lag(worker.offsets) if ends is not None else None,
        "last_progress_at": notes.progressed_at,
        "busy_since": notes.busy_since,
        "outbox": {"waiting": len(worker.unpublished), "oldest_at": notes.outbox_since},
        "timers": {"next_due_at": due, "overdue": due is not None and due + OVERDUE_AFTER < now},
        "effects_under_way": view.effects_under_way,
        "buffered": len(worker.buffers),
        "parked": len(worker.lanes.keys),
    }


@dataclass(slots=True)
class ProcessProgress:
    """One process of a service from its first moment on. `phase`: `starting` (its database is not there yet), `joining` (no
    partition is assigned), `working`."""

    settings: Settings
    topics: tuple[str, ...]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_error: Failure | None = None
    #: Read at the start: the files may change while it runs.
    version: str = ""

    def __post_init__(self) -> None:
        self.version = self.version or code_version(self.settings.service)

    def tell(self, phase: str, ready: bool, partitions: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
        """The whole answer. It names the broker and the partition count that this process was given, so that wrong ones show."""
        settings = self.settings
        return {
            "service": settings.service,
            "group": settings.group_id,
            "identity": settings.identity,
            "version": self.version,
            "started_at": self.started_at,
            "now": now,
            "phase": phase,
            "ready": ready,
            "last_error": _told(self.last_error),
            "bootstrap_servers": settings.bootstrap_servers,
            "topic_partitions": settings.partitions,
            "topics": list(self.topics),
            "partitions": partitions,
        }


def _told(failed: Failure | None) -> dict[str, Any] | None:
    return None if failed is None else asdict(failed)
