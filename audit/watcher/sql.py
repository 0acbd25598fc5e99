"""The watcher's questions. Each is answered by one scan at most; what only rises is asked for since the last look."""

from typing import Final

# --- every service's database -------------------------------------------------------------------------------------------

OFFSETS: Final = """
SELECT c.partition, c.topic, c.next_offset, extract(epoch FROM now() - p.moved_at)::float8 AS still_s
FROM consumed_offset c JOIN partition_ownership p USING (partition)
"""

OUTBOX: Final = """
SELECT count(*) AS pending, coalesce(extract(epoch FROM now() - min(o.created_at)), 0)::float8 AS oldest_s
FROM outbox o JOIN partition_ownership p ON p.partition = o.partition AND o.seq > p.published_seq
"""

WAITING: Final = """
SELECT (SELECT count(*) FROM parked) AS parked, (SELECT count(*) FROM timer) AS timers,
       (SELECT count(*) FROM timer WHERE due_at <= now()) AS due,
       (SELECT count(*) FROM timer WHERE due_at < now() - interval '5 seconds') AS overdue,
       (SELECT count(*) FROM effect) AS effects
"""

# --- orders -------------------------------------------------------------------------------------------------------------

BY_STATUS: Final = """
SELECT status, sum(count)::bigint AS count FROM (
    SELECT status, count(*) FROM orders GROUP BY status
    UNION ALL SELECT word, total FROM archive_sum WHERE what = 'status'
) AS o GROUP BY status
"""

#: Each attempt at what an order waits for changes its row; since when it needs a person stands in its history.
OPEN: Final = """
SELECT coalesce(waiting_for, 'nothing') AS waiting_for, count(*) AS orders, count(*) FILTER (WHERE paused) AS paused,
       coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s,
       coalesce(extract(epoch FROM now() - min(CASE WHEN status = 'NEEDS_ATTENTION' THEN (
           SELECT h.at FROM history AS h WHERE h.order_id = o.order_id AND h.type = 'orders.attention-needed.v1'
           ORDER BY h.seq DESC LIMIT 1) END)), 0)::float8 AS attention_s,
       count(*) FILTER (WHERE status = 'NEEDS_ATTENTION') AS attention,
       count(*) FILTER (WHERE NOT paused AND status <> 'NEEDS_ATTENTION' AND deadline < now() - interval '60 seconds')
           AS overdue
FROM orders AS o WHERE status NOT IN ('COMPLETED', 'CANCELLED', 'FAILED') GROUP BY 1
"""

VERDICTS: Final = """
SELECT verdict, reason, sum(count)::bigint AS count FROM (
    SELECT CASE accepted WHEN true THEN 'accepted' WHEN false THEN 'rejected' ELSE 'undecided' END AS verdict,
           coalesce(reason, 'none') AS reason, count(*) FROM command GROUP BY 1, 2
    UNION ALL SELECT word, reason, total FROM archive_sum WHERE what = 'verdict'
) AS c GROUP BY 1, 2
"""

#: Orders of the last hour that have ended; those that were seen are left out by their ids.
ENDED: Final = """
SELECT order_id, status, extract(epoch FROM updated_at - created_at)::float8 AS seconds FROM orders
WHERE created_at > now() - interval '1 hour' AND status IN ('COMPLETED', 'CANCELLED', 'FAILED')
"""

STORIES: Final = """
SELECT order_id, type, at, coalesce((data ->> 'duplicate')::boolean, false) AS duplicate FROM history
WHERE order_id = ANY ($1::text[]) ORDER BY order_id, seq
"""

#: Not at rest: open, or ended so lately that what follows from it may still be under way.
RESTLESS: Final = """
SELECT order_id FROM orders
WHERE status NOT IN ('COMPLETED', 'CANCELLED', 'FAILED') OR updated_at > now() - make_interval(secs => $1)
"""

# A long list goes in as `NOT IN (SELECT unnest(...))`, which is hashed. After five times `<> ALL (...)` is no longer, and every row
# is compared with every one of the list: measured 7 s instead of 0.1 with 200,000 charges and 2,000 open orders.

#: A person has given back, or decided not to: what is on record need not add up.
SETTLED_BY_HAND: Final = """
SELECT DISTINCT order_id FROM history WHERE type = 'orders.attention-resolved.v1' AND data ->> 'operator' IS NOT NULL
"""

OWED: Final = """
SELECT currency, sum(owed)::bigint AS owed FROM (
    SELECT currency, total_minor AS owed FROM orders
    WHERE status = 'COMPLETED' AND total_minor IS NOT NULL AND order_id NOT IN (SELECT unnest($1::text[]))
    UNION ALL SELECT word, total FROM archive_sum WHERE what = 'owed'
) AS o GROUP BY currency
"""

# --- payment and its gateway --------------------------------------------------------------------------------------------

MONEY: Final = """
SELECT currency, sum(captured_minor)::bigint AS captured, sum(refunded_minor)::bigint AS refunded
FROM charge WHERE currency IS NOT NULL GROUP BY currency
"""

CHARGES: Final = "SELECT status, count(*) FROM charge GROUP BY status"

REFUNDS_PENDING: Final = "SELECT count(*) FROM refund WHERE attempt_end IS DISTINCT FROM 'refunded'"

#: What came into being after the orders were looked at belongs to orders that were not seen.
TAKEN: Final = """
SELECT currency, sum(captured_minor - refunded_minor)::bigint AS taken FROM charge
WHERE captured_minor > 0 AND created_at < $2 AND order_id NOT IN (SELECT unnest($1::text[])) GROUP BY currency
"""

MOVED: Final = """
SELECT currency, sum(CASE kind WHEN 'charge' THEN amount_minor ELSE -amount_minor END)::bigint AS taken
FROM gateway.entries($2) WHERE at < $2 AND order_id NOT IN (SELECT unnest($1::text[])) GROUP BY currency
"""

# --- notification -------------------------------------------------------------------------------------------------------

UNDELIVERABLE: Final = (
    "SELECT count(*) FROM mail WHERE status = 'undeliverable' AND created_at > now() - interval '7 days'"
)

# --- inventory ----------------------------------------------------------------------------------------------------------

STOCK: Final = """
SELECT coalesce(sum(on_hand), 0)::bigint AS on_hand, coalesce(sum(held), 0)::bigint AS held,
       coalesce(sum(shipped), 0)::bigint AS shipped, coalesce(sum(received), 0)::bigint AS received,
       coalesce(sum(adjusted), 0)::bigint AS adjusted, count(*) AS skus, count(*) FILTER (WHERE on_hand = 0) AS exhausted
FROM stock
"""

#: What a SKU's row adds up, against what it is the sum of: a look at every reservation and every answer that there ever was.
STOCK_SUMS: Final = """
WITH line AS (
    SELECT sku COLLATE "C" AS sku, sum(quantity) AS shipped FROM reservation_line WHERE state = 'shipped' GROUP BY 1
), receipt AS (
    SELECT (answer ->> 'sku') COLLATE "C" AS sku, sum((answer ->> 'quantity')::bigint) AS received,
           sum((answer ->> 'delta')::bigint) AS adjusted
    FROM shop_command WHERE type IN ('inventory.stock-received.v1', 'inventory.stock-adjusted.v1') GROUP BY 1
)
SELECT coalesce(sum(abs(coalesce(s.received, 0) - coalesce(r.received, 0)) + abs(coalesce(s.adjusted, 0) - coalesce(r.adjusted, 0))
                    + abs(coalesce(s.shipped, 0) - coalesce(l.shipped, 0))
                    + abs(coalesce(s.on_hand + s.held + s.shipped - s.received - s.adjusted, 0))), 0)::bigint AS imbalance
FROM stock s FULL JOIN line l USING (sku) FULL JOIN receipt r USING (sku)
"""

RESERVATIONS: Final = """
SELECT state, count(*), count(*) FILTER (WHERE state = 'held' AND expires_at < now() - interval '60 seconds') AS expired
FROM reservation GROUP BY state
"""

#: One statement is one moment: what the stock says is held is what the reservations say.
HELD: Final = """
WITH line AS (SELECT sku, sum(quantity) AS quantity FROM reservation_line WHERE state = 'held' GROUP BY sku)
SELECT coalesce(sum(abs(coalesce(s.held, 0) - coalesce(l.quantity, 0))), 0)::bigint AS imbalance
FROM stock s FULL JOIN line l ON l.sku = s.sku WHERE coalesce(s.held, 0) <> 0 OR l.quantity IS NOT NULL
"""
