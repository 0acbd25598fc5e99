"""The words of the log: every key that a line may have. What is not here cannot be logged: no payload, no name, no address.

docs/operations.md shows this table to those who read the logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What every line has, or the machinery adds.
ALWAYS: Final[Mapping[str, str]] = {
    "at": "when, RFC 3339, UTC",
    "level": "debug, info, warning, error or critical",
    "event": "what happened: a fixed name, or a library's own words",
    "logger": "the module that says so",
    "service": "the service",
    "identity": "the process",
    "exception": "where an error came from: types and places, and texts that cannot hold data",
}

#: Whom or what it is about.
CONTEXT: Final[Mapping[str, str]] = {
    "key": "the record's key: the order id, the SKU, the customer id",
    "correlation": "the trace id of whoever asked, where there is one",
    "cause": "the id of the message that caused it",
    "type": "the message's type",
    "topic": "the topic",
    "partition": "the partition",
    "offset": "the offset",
    "step": "the number of the step that a timer belongs to",
    "attempt": "which attempt it was",
}

#: What else there is to say.
FACTS: Final[Mapping[str, str]] = {
    "count": "how many",
    "error": "what went wrong, in one line",
    "group": "the consumer group",
    "kind": "of which kind: an effect, a mail, an irregularity",
    "migration": "a file of the database's migrations",
    "moved_to": "the offset from which reading goes on",
    "partitions": "the partitions owned",
    "reason": "why: a fixed word",
    "retry_in_s": "seconds until the next try",
    "route": "the method and pattern of an HTTP request",
    "state": "the state it was in",
    "task_queue": "the prefix of the consumer groups",
    "where": "the address it serves",
}

KEYS: Final[frozenset[str]] = frozenset({*ALWAYS, *CONTEXT, *FACTS})
