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

# The condition is the fence: the number of the owner, and the offsets from which this batch went on.
FENCE: Final = """
UPDATE partition_ownership
SET offsets = offsets || $3::jsonb, next_seq = $5, published_seq = greatest(published_seq, $6), acked = $7::jsonb,
    updated_at = now()
WHERE partition = $1 AND epoch = $2 AND offsets @> $4::jsonb
RETURNING 1
"""

ADD_OUTBOX: Final = """
INSERT INTO outbox (partition, seq, target, topic, type, key, value, headers)
SELECT $1, r.seq, r.target, r.topic, r.type, r.key, r.value, r.headers::jsonb
FROM unnest($2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::text[])
    AS r (seq, target, topic, type, key, value, headers)
"""

OUTBOX_AFTER: Final = """
SELECT seq, target, topic, type, key, value, headers::text FROM outbox
WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""

MARK_PUBLISHED: Final = """
UPDATE partition_ownership SET published_seq = greatest(published_seq, $3), acked = $4::jsonb
WHERE partition = $1 AND epoch = $2
"""

# Published rows stay for the grace period: the broker acknowledges from its page cache, and a power loss there must be mended.
FORGET_PUBLISHED: Final = """
WITH old AS (
    SELECT seq FROM outbox WHERE partition = $1 AND created_at < $2
        AND seq <= (SELECT published_seq FROM partition_ownership WHERE partition = $1)
    ORDER BY seq LIMIT $3
), gone AS (
    DELETE FROM outbox USING old WHERE outbox.partition = $1 AND outbox.seq = old.seq RETURNING 1
)
SELECT count(*) FROM gone
"""

SET_TIMERS: Final = """
INSERT INTO timer (partition, key, name, step, due_at)
SELECT $1, r.key, r.name, r.step, r.due_at
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS r (key, name, step, due_at)
ON CONFLICT (partition, key, name) DO UPDATE SET step = excluded.step, due_at = excluded.due_at
"""

CANCEL_TIMERS: Final = """
DELETE FROM timer USING unnest($2::text[], $3::text[]) AS r (key, name)
WHERE timer.partition = $1 AND timer.key = r.key AND timer.name = r.name
"""

DUE_TIMERS: Final = """
SELECT key, name, step, due_at FROM timer WHERE partition = $1 AND due_at <= $2 ORDER BY due_at, key, name LIMIT $3
"""

NEXT_DUE: Final = "SELECT min(due_at) FROM timer WHERE partition = $1"

ADD_EFFECTS: Final = """
INSERT INTO effect (partition, id, key, kind, request)
SELECT $1, r.id, r.key, r.kind, r.request::jsonb
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS r (id, key, kind, request)
ON CONFLICT (partition, id) DO NOTHING
"""

END_EFFECTS: Final = "DELETE FROM effect WHERE partition = $1 AND id = ANY ($2::text[])"

PENDING_EFFECTS: Final = "SELECT id, key, kind, request::text FROM effect WHERE partition = $1 ORDER BY created_at, id"
