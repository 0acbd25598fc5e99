"""The runtime's SQL, a named statement each. Arrays travel as columns and become rows with `unnest`."""

from typing import Final

TAKE_OVER: Final = """
INSERT INTO partition_ownership AS o (partition, epoch, owner, offsets) VALUES ($1, 1, $2, $3::jsonb)
ON CONFLICT (partition) DO UPDATE
SET epoch = o.epoch + 1, owner = $2, offsets = $3::jsonb || o.offsets, updated_at = now()
RETURNING partition, epoch, offsets::text, next_seq, published_seq, acked::text
"""

OWNERSHIP: Final = """
SELECT partition, epoch, offsets::text, next_seq, published_seq, acked::text FROM partition_ownership WHERE partition = $1
"""

SET_OFFSETS: Final = """
UPDATE partition_ownership SET offsets = offsets || $3::jsonb WHERE partition = $1 AND epoch = $2 RETURNING 1
"""

# The condition is the fence: the number of the owner, and the offsets from which this batch went on. Whoever commits for several
# partitions takes their rows in the order of the partitions, or two of them could wait for each other.
FENCE: Final = """
UPDATE partition_ownership AS o
SET offsets = o.offsets || r.offsets::jsonb, next_seq = r.next_seq, updated_at = now()
FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
    AS r (partition, epoch, offsets, expected, next_seq)
WHERE o.partition = r.partition AND o.epoch = r.epoch AND o.offsets @> r.expected::jsonb
RETURNING 1
"""

ADD_OUTBOX: Final = """
INSERT INTO outbox (partition, seq, target, topic, type, key, value, headers)
SELECT r.partition, r.seq, r.target, r.topic, r.type, r.key, r.value, r.headers::jsonb
FROM unnest($1::integer[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::text[])
    AS r (partition, seq, target, topic, type, key, value, headers)
"""

OUTBOX_AFTER: Final = """
SELECT seq, target, topic, type, key, value, headers::text FROM outbox
WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""

# How far was published and where that stands are recorded together: a successor publishes the rest again and then knows its place.
# A repeat after a lost answer finds its row, or adds one that says the same and more.
MARK_PUBLISHED: Final = """
WITH held AS (
    UPDATE partition_ownership SET published_seq = greatest(published_seq, $3), acked = $4::jsonb
    WHERE partition = $1 AND epoch = $2
    RETURNING 1
)
INSERT INTO published (partition, first_seq, last_seq, topics, seqs, offsets)
SELECT $1, $5, $6, $7, $8, $9 FROM held WHERE $5::bigint IS NOT NULL
ON CONFLICT DO NOTHING
"""

# The row that holds the first of those numbers keeps what comes before it, and its time.
UNPLACE: Final = """
WITH held AS (
    UPDATE partition_ownership SET published_seq = least(published_seq, $3 - 1), acked = '{}'
    WHERE partition = $1 AND epoch = $2
    RETURNING 1
),
gone AS (
    DELETE FROM published USING held WHERE published.partition = $1 AND last_seq >= $3
    RETURNING first_seq, last_seq, topics, seqs, published.offsets, part
)
INSERT INTO published (partition, first_seq, last_seq, topics, seqs, offsets, part)
SELECT $1, first_seq, $3 - 1, topics, seqs, offsets, part FROM gone WHERE first_seq < $3 ORDER BY last_seq LIMIT 1
ON CONFLICT DO NOTHING
"""

# One row covers each number, if any: the first that ends with it or later, of all parts. Where it has gone with its part, the first
# one that is left does not have the number.
PLACES: Final = """
SELECT s.seq, p.topics[p.at] AS topic, p.offsets[p.at] AS "offset"
FROM unnest($2::bigint[]) AS s (seq) CROSS JOIN LATERAL (
    SELECT p.topics, p.offsets, array_position(p.seqs, s.seq) AS at
    FROM published AS p WHERE p.partition = $1 AND p.last_seq >= s.seq ORDER BY p.last_seq LIMIT 1
) AS p
WHERE p.at IS NOT NULL
"""

# Published rows stay for the grace period: the broker acknowledges from its page cache, and a power loss there must be mended.
# Where rows stand is kept for months, by the clock that gave them their part.
FORGET_PUBLISHED: Final = "SELECT forget_outbox($1), forget_places(now())"

SET_TIMERS: Final = """
INSERT INTO timer (partition, key, name, step, due_at)
SELECT r.partition, r.key, r.name, r.step, r.due_at
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS r (partition, key, name, step, due_at)
ON CONFLICT (partition, key, name) DO UPDATE SET step = excluded.step, due_at = excluded.due_at
"""

# One look-up by the primary key for each, whatever the statistics say. As a join it was planned, after an analyze of an almost
# empty table, with the whole of the partition outside: 48 s for 500 of 100,000 timers. (Hence the partition of `timer_due` is an
# expression: no statement that names the partition itself can go by that index.)
CANCEL_TIMERS: Final = """
DELETE FROM timer WHERE ctid = ANY (ARRAY(
    SELECT found.at FROM unnest($1::integer[], $2::text[], $3::text[]) AS r (partition, key, name)
    CROSS JOIN LATERAL (
        SELECT t.ctid AS at FROM timer AS t WHERE t.partition = r.partition AND t.key = r.key AND t.name = r.name LIMIT 1
    ) AS found
))
"""

# Only as it was claimed: one that was set anew or cancelled since is another.
POSTPONE_TIMERS: Final = """
UPDATE timer SET due_at = $6 WHERE ctid = ANY (ARRAY(
    SELECT found.at
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS r (partition, key, name, step, due_at)
    CROSS JOIN LATERAL (
        SELECT t.ctid AS at, t.step, t.due_at FROM timer AS t
        WHERE t.partition = r.partition AND t.key = r.key AND t.name = r.name LIMIT 1
    ) AS found
    WHERE found.step = r.step AND found.due_at = r.due_at
))
"""

DUE_TIMERS: Final = """
SELECT key, name, step, due_at FROM timer
WHERE partition + 0 = $1 AND due_at <= $2 AND key <> ALL ($4::text[]) ORDER BY due_at, key, name LIMIT $3
"""

NEXT_DUE: Final = "SELECT min(due_at) FROM timer WHERE partition + 0 = $1 AND key <> ALL ($2::text[])"

ADD_EFFECTS: Final = """
INSERT INTO effect (partition, id, key, kind, request)
SELECT r.partition, r.id, r.key, r.kind, r.request::jsonb
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[]) AS r (partition, id, key, kind, request)
ON CONFLICT (partition, id) DO NOTHING
"""

# One look-up each, as with the timers.
END_EFFECTS: Final = """
DELETE FROM effect WHERE ctid = ANY (ARRAY(
    SELECT found.at FROM unnest($1::integer[], $2::text[]) AS r (partition, id)
    CROSS JOIN LATERAL (
        SELECT e.ctid AS at FROM effect AS e WHERE e.partition = r.partition AND e.id = r.id LIMIT 1
    ) AS found
))
"""

PENDING_EFFECTS: Final = "SELECT id, key, kind, request::text FROM effect WHERE partition = $1 ORDER BY created_at, id"
