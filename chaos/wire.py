"""Just as much of two protocols as is needed to know an answer when it passes: Kafka's to Produce, PostgreSQL's to a commit.

Pure: bytes in, messages and verdicts out.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final, Protocol

_PRODUCE: Final = 0
#: The first message of a PostgreSQL client has no type; this is its head's length where the others have one byte.
_INT32: Final = struct.Struct(">i")
_KEY_AND_CORRELATION: Final = struct.Struct(">hxxi")
#: In the text of the runtime's commit, and in no other statement (`messaging/postgres_statement.py`).
FENCE: Final = b"expect_fence("


class Splitter:
    """Cuts a stream into whole messages: `skip` bytes, then a length of four bytes. Kafka's length counts what comes after it,
    PostgreSQL's itself too; `first_skip` is for the one message that has no type."""

    def __init__(self, skip: int, counts_itself: bool, first_skip: int | None = None) -> None:
        self._skip = skip if first_skip is None else first_skip
        self._later_skip = skip
        self._rest = 0 if counts_itself else 4
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete by now."""
        self._buffer += data
        found: list[bytes] = []
        while len(self._buffer) >= self._skip + 4:
            (length,) = _INT32.unpack_from(self._buffer, self._skip)
            end = self._skip + length + self._rest
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[:end]))
            del self._buffer[:end]
            self._skip = self._later_skip
        return found


class Seen(Enum):
    """What a message of the server's is. `MAYBE`: part of an answer that may prove to be one; the next one tells."""

    OTHER = "other"
    MAYBE = "maybe"
    ANSWER = "answer"


class Watch(Protocol):
    """Follows one connection."""

    def splitters(self) -> tuple[Splitter, Splitter]:
        """For what the client says and for what the server says."""

    def request(self, message: bytes) -> None:
        """The client said this."""

    def answer(self, message: bytes) -> Seen:
        """The server said this."""


class ProduceWatch:
    """Knows the answers to Produce by the correlation ids of the requests."""

    def __init__(self) -> None:
        self._asked: set[int] = set()

    def splitters(self) -> tuple[Splitter, Splitter]:
        """See `Watch`."""
        return Splitter(0, counts_itself=False), Splitter(0, counts_itself=False)

    def request(self, message: bytes) -> None:
        """See `Watch`."""
        key, correlation = _KEY_AND_CORRELATION.unpack_from(message, 4)
        if key == _PRODUCE:
            self._asked.add(correlation)

    def answer(self, message: bytes) -> Seen:
        """See `Watch`."""
        (correlation,) = _INT32.unpack_from(message, 4)
        if correlation not in self._asked:
            return Seen.OTHER
        self._asked.discard(correlation)
        return Seen.ANSWER


class CommitWatch:
    """Knows the end of an answer by which the server tells that a batch is committed: the statement succeeded, and no transaction
    is open after it."""

    def __init__(self) -> None:
        self._commits: set[bytes] = set()
        self._awaited = False
        self._failed = False

    def splitters(self) -> tuple[Splitter, Splitter]:
        """See `Watch`."""
        return Splitter(1, counts_itself=True, first_skip=0), Splitter(1, counts_itself=True)

    def request(self, message: bytes) -> None:
        """See `Watch`."""
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            self._commits.discard(name)
            if _commits(rest.partition(b"\0")[0]):
                self._commits.add(name)
        elif kind == b"B":
            name = body.partition(b"\0")[2].partition(b"\0")[0]
            self._await(name in self._commits)
        elif kind == b"Q":
            self._await(_commits(body.rstrip(b"\0")))

    def _await(self, commit: bool) -> None:
        if commit and not self._awaited:
            self._awaited, self._failed = True, False

    def answer(self, message: bytes) -> Seen:
        """See `Watch`."""
        if not self._awaited:
            return Seen.OTHER
        kind = message[:1]
        if kind == b"E":
            self._failed = True
        if kind != b"Z":
            return Seen.MAYBE
        self._awaited = False
        idle = message[5:6] == b"I"
        return Seen.ANSWER if idle and not self._failed else Seen.OTHER


def _commits(query: bytes) -> bool:
    return FENCE in query or query.strip().rstrip(b";").upper() == b"COMMIT"
