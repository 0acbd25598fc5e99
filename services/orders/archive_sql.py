"""Into the archive and out of it: one statement each, so that an order is always in one of the two places, whole.

The keys go in as arrays, never as joins: what is planned for a small table must stay good for a large one.
"""

from typing import Final

#: An order that a person has settled stays: what is on record about its money need not add up.
_AT_REST: Final = """
SELECT o.* FROM orders AS o
WHERE (o.created_at, o.order_id) > ($2::timestamptz, $3::text) AND o.created_at < $1 AND o.updated_at < $1
    AND o.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
    AND NOT EXISTS (
        SELECT 1 FROM history AS h WHERE h.order_id = o.order_id AND h.type = 'orders.attention-resolved.v1'
            AND h.data ->> 'operator' IS NOT NULL
    )
"""

COUNT: Final = f"SELECT count(*) FROM ({_AT_REST}) AS o"

#: The sums of what moves; `{order}` and `{command}` are the rows, `{sign}` is the way they go.
_SUMMED: Final = """
INSERT INTO archive_sum AS s (what, word, reason, total)
    SELECT 'status', status, '', {sign}count(*) FROM {order} GROUP BY status
UNION ALL
    SELECT 'owed', currency, '', {sign}sum(total_minor) FROM {order}
    WHERE status = 'COMPLETED' AND currency IS NOT NULL AND total_minor IS NOT NULL GROUP BY currency
UNION ALL
    SELECT 'verdict', CASE accepted WHEN true THEN 'accepted' WHEN false THEN 'rejected' ELSE 'undecided' END,
           coalesce(reason, 'none'), {sign}count(*)
    FROM {command} GROUP BY 2, 3
ON CONFLICT (what, word, reason) DO UPDATE SET total = s.total + excluded.total
"""

# One that somebody is just writing is left for another time.
ARCHIVE: Final = f"""
WITH due AS MATERIALIZED ({_AT_REST} ORDER BY o.created_at, o.order_id LIMIT $4 FOR UPDATE OF o SKIP LOCKED),
gone AS (DELETE FROM orders WHERE order_id = ANY (ARRAY(SELECT order_id FROM due))),
listed AS (
    DELETE FROM order_sku WHERE ctid = ANY (ARRAY(
        SELECT found.at FROM due CROSS JOIN json_array_elements(due.items) AS line CROSS JOIN LATERAL (
            SELECT s.ctid AS at FROM order_sku AS s
            WHERE s.sku = line ->> 'sku' AND s.created_at = due.created_at AND s.order_id = due.order_id LIMIT 1
        ) AS found
    ))
),
asked AS (DELETE FROM command WHERE order_id = ANY (ARRAY(SELECT order_id FROM due)) RETURNING *),
past AS (DELETE FROM history WHERE order_id = ANY (ARRAY(SELECT order_id FROM due)) RETURNING *),
kept AS (
    INSERT INTO archive (order_id, status, currency, total_minor, document)
    SELECT due.order_id, due.status, due.currency, due.total_minor, json_build_object(
        'order', row_to_json(due), 'commands', coalesce(a.rows, '[]'), 'history', coalesce(p.rows, '[]'))
    FROM due
    LEFT JOIN (SELECT order_id, json_agg(row_to_json(asked)) AS rows FROM asked GROUP BY order_id) AS a USING (order_id)
    LEFT JOIN (SELECT order_id, json_agg(row_to_json(past) ORDER BY seq) AS rows FROM past GROUP BY order_id) AS p USING (order_id)
),
summed AS ({_SUMMED.format(sign="", order="due", command="asked")})
SELECT created_at, order_id FROM due ORDER BY created_at, order_id
"""

# What was written about it meanwhile (a verdict on something that came too late) stands already.
RESTORE: Final = f"""
WITH back AS (DELETE FROM archive WHERE order_id = ANY ($1::text[]) RETURNING order_id, document),
one AS (SELECT r.* FROM back CROSS JOIN LATERAL json_populate_record(NULL::orders, document -> 'order') AS r),
asked AS (SELECT r.* FROM back CROSS JOIN LATERAL json_populate_recordset(NULL::command, document -> 'commands') AS r),
kept AS (
    INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused,
                        customer_id, currency, total_minor, items, created_at, updated_at, state)
    SELECT order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused,
           customer_id, currency, total_minor, items, created_at, updated_at, state FROM one
),
listed AS (
    INSERT INTO order_sku (sku, created_at, order_id)
    SELECT DISTINCT line ->> 'sku', created_at, order_id FROM one CROSS JOIN json_array_elements(items) AS line
    ON CONFLICT DO NOTHING
),
told AS (
    INSERT INTO command (order_id, source, id, type, accepted, reason, message, at, data)
    SELECT order_id, source, id, type, accepted, reason, message, at, data FROM asked ON CONFLICT DO NOTHING
),
past AS (
    INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, cause_topic, cause_partition, cause_offset, answers,
                         event_id, worker, data, sent)
    SELECT r.order_id, r.seq, r.at, r.type, r.cause, r.cause_type, r.cause_at, r.cause_topic, r.cause_partition, r.cause_offset,
           r.answers, r.event_id, r.worker, r.data, r.sent
    FROM back CROSS JOIN LATERAL json_populate_recordset(NULL::history, document -> 'history') AS r
    ON CONFLICT DO NOTHING
),
summed AS ({_SUMMED.format(sign="-", order="one", command="asked")})
SELECT order_id FROM back
"""
