"""The lanes in PostgreSQL: their SQL, and how rows and records become each other."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import asyncpg

from contracts.letters import Letter
from messaging.ports import Headers, Lane, LaneChanges, Parked, Record

LANES: Final = """
SELECT DISTINCT ON (key) partition, place, key, topic, "offset", record_key, value, headers::text, appended_at, state, failures,
       error, operator, reason, count(*) OVER (PARTITION BY key) AS records
FROM parked WHERE partition = $1 ORDER BY key, place
"""

PARKED: Final = """
SELECT partition, place, key, topic, "offset", record_key, value, headers::text, appended_at, state, failures, error, operator,
       reason
FROM parked WHERE partition = $1 AND key = ANY ($2::text[]) ORDER BY place LIMIT $3
"""

PARK: Final = """
INSERT INTO parked (partition, place, key, topic, "offset", record_key, value, headers, appended_at, state, failures, error,
                    operator, reason, failed_at)
SELECT $1, r.place, r.key, r.topic, r.at_offset, r.record_key, r.value, r.headers::jsonb, r.appended_at, r.state, r.failures,
       r.error, r.operator, r.reason, CASE WHEN r.failures > 0 THEN now() END
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::text[], $9::timestamptz[],
            $10::text[], $11::integer[], $12::text[], $13::text[], $14::text[])
    AS r (place, key, topic, at_offset, record_key, value, headers, appended_at, state, failures, error, operator, reason)
"""

MARK: Final = """
UPDATE parked
SET state = r.state, failures = r.failures, error = r.error, operator = r.operator, reason = r.reason,
    failed_at = CASE r.state WHEN 'failed' THEN now() ELSE failed_at END
FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[])
    AS r (place, state, failures, error, operator, reason)
WHERE parked.partition = $1 AND parked.place = r.place RETURNING 1
"""

UNPARK: Final = "DELETE FROM parked WHERE partition = $1 AND place = ANY ($2::bigint[]) RETURNING 1"

FINISH: Final = """
INSERT INTO letter_done (topic, partition, "offset", act, outcome, operator, reason)
SELECT r.topic, $1, r.at_offset, r.act, r.outcome, r.operator, r.reason
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS r (topic, at_offset, act, outcome, operator, reason)
ON CONFLICT DO NOTHING
"""

FORGET: Final = """
DELETE FROM letter_done AS d USING unnest($2::text[], $3::bigint[]) AS r (topic, at_offset)
WHERE d.partition = $1 AND d.topic = r.topic AND d."offset" = r.at_offset
"""

DONE_WITH: Final = """
SELECT topic, partition, "offset" FROM letter_done
JOIN unnest($1::text[], $2::integer[], $3::bigint[]) AS r (topic, partition, "offset") USING (topic, partition, "offset")
"""


def lane_parts(partition: int, changes: LaneChanges) -> Iterator[tuple[str, str, tuple[Any, ...], int | None]]:
    """What the changes are in SQL: name, statement, arguments, and how many rows it has to touch."""
    if changes.parked:
        rows: Iterable[tuple[Any, ...]] = (_parked_row(found) for found in changes.parked.values())
        yield "lane_parked", PARK, (partition, *_columns(rows)), None
    if changes.marked:
        rows = ((m.place, m.state, m.failures, m.error, m.operator, m.reason) for m in changes.marked.values())
        yield "lane_marked", MARK, (partition, *_columns(rows)), len(changes.marked)
    if changes.gone:
        yield "lane_gone", UNPARK, (partition, sorted(changes.gone)), len(changes.gone)
    # What is written and settled at once is the row that is written below.
    anew = changes.anew - {done.letter for done in changes.done}
    if anew:
        rows = ((letter.topic, letter.offset) for letter in sorted(anew))
        yield "letters_anew", FORGET, (partition, *_columns(rows)), None
    if changes.done:
        rows = (
            (d.letter.topic, d.letter.offset, d.act, d.outcome, d.operator, d.reason)
            for d in {done.letter: done for done in changes.done}.values()
        )
        yield "letters_done", FINISH, (partition, *_columns(rows)), None


async def read_lanes(connection: asyncpg.Connection[asyncpg.Record], partition: int) -> list[Lane]:
    """See `Store.lanes`."""
    rows = await connection.fetch(LANES, partition)
    return [Lane(row["key"], row["records"], _parked(row) if row["failures"] else None) for row in rows]


async def read_parked(
    connection: asyncpg.Connection[asyncpg.Record], partition: int, keys: Collection[str], limit: int
) -> list[Parked]:
    """See `Store.parked`."""
    return [_parked(row) for row in await connection.fetch(PARKED, partition, sorted(keys), limit)]


async def read_done(connection: asyncpg.Connection[asyncpg.Record], letters: Collection[Letter]) -> set[Letter]:
    """See `Store.done_with`."""
    columns = _columns((letter.topic, letter.partition, letter.offset) for letter in letters)
    found = {tuple(row.values()) for row in await connection.fetch(DONE_WITH, *columns)}
    return {letter for letter in letters if (letter.topic, letter.partition, letter.offset) in found}


def headers_json(headers: Headers) -> str:
    """Headers as they are stored: the names are a stranger's as well as the values, and jsonb takes no NUL."""
    return json.dumps(
        [[_text(name.encode()), None if value is None else _text(value)] for name, value in headers],
        separators=(",", ":"),
    )


def headers_of(stored: str) -> Headers:
    """The headers that were stored."""
    return [
        (b64decode(name).decode(), None if value is None else b64decode(value)) for name, value in json.loads(stored)
    ]


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _parked_row(parked: Parked) -> tuple[Any, ...]:
    record = parked.record
    return (
        parked.place,
        parked.key,
        record.topic,
        record.offset,
        record.key,
        record.value,
        headers_json(record.headers),
        record.timestamp,
        parked.state,
        parked.failures,
        parked.error,
        parked.operator,
        parked.reason,
    )


def _parked(row: asyncpg.Record) -> Parked:
    record = Record(
        row["topic"],
        row["partition"],
        row["offset"],
        row["record_key"],
        row["value"],
        headers_of(row["headers"]),
        row["appended_at"],
    )
    return Parked(
        row["place"], row["key"], record, row["state"], row["failures"], row["error"], row["operator"], row["reason"]
    )
