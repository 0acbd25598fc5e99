"""Into the archive and out of it (`restore_orders`, migrations/0007): one statement each, so that an order is always in one
of the two places, whole.

The keys go in as arrays, never as joins: what is planned for a small table must stay good for a large one.
"""

from typing import Final

#: An order that a person has settled stays: what is on record about its money need not add up. (A subquery of its own, not a
#: NOT EXISTS, which may become a join that reads the whole history for a few orders.)
_AT_REST: Final = """
SELECT o.* FROM orders AS o
WHERE (o.created_at, o.order_id) > ($2::timestamptz, $3::text) AND o.created_at < $1 AND o.updated_at < $1
    AND o.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
    AND (
        SELECT true FROM history AS h WHERE h.order_id = o.order_id AND h.type = 'orders.attention-resolved.v1'
            AND h.data ->> 'operator' IS NOT NULL LIMIT 1
    ) IS NULL
"""

COUNT: Final = f"SELECT count(*) FROM ({_AT_REST}) AS o"

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
summed AS (
    INSERT INTO archive_sum AS s (what, word, reason, total)
        SELECT 'status', status, '', count(*) FROM due GROUP BY status
    UNION ALL
        SELECT 'owed', currency, '', sum(total_minor) FROM due
        WHERE status = 'COMPLETED' AND currency IS NOT NULL AND total_minor IS NOT NULL GROUP BY currency
    UNION ALL
        SELECT 'verdict', CASE accepted WHEN true THEN 'accepted' WHEN false THEN 'rejected' ELSE 'undecided' END,
               coalesce(reason, 'none'), count(*)
        FROM asked GROUP BY 2, 3
    ON CONFLICT (what, word, reason) DO UPDATE SET total = s.total + excluded.total
)
SELECT created_at, order_id FROM due ORDER BY created_at, order_id
"""

RESTORE: Final = "SELECT restore_orders($1::text[])"
