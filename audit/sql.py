"""The audit's questions, a named statement each. What is large comes in the order of the orders' ids, compared byte by byte ("C"),
so that the answers of several databases can be read side by side."""

from typing import Final

# --- every service's database -------------------------------------------------------------------------------------------

#: What reading a batch changes: whoever has the same positions as before has done nothing in between.
POSITIONS: Final = """
SELECT partition, next_seq, published_seq, offsets::text AS offsets FROM partition_ownership ORDER BY partition
"""

UNPUBLISHED: Final = """
SELECT o.partition, o.seq, o.topic, o.type, o.created_at
FROM outbox o JOIN partition_ownership p ON p.partition = o.partition AND o.seq > p.published_seq
ORDER BY o.partition, o.seq
"""

DUE_TIMERS: Final = "SELECT partition, key, name, due_at FROM timer WHERE due_at <= $1 ORDER BY partition, due_at"

EFFECTS: Final = "SELECT partition, id, key, kind, created_at FROM effect ORDER BY partition, created_at"

PARKED: Final = """
SELECT DISTINCT ON (partition, key) partition, key, count(*) OVER (PARTITION BY partition, key) AS records, topic, "offset",
       CASE state WHEN 'failed' THEN error END AS error, d.topic IS NOT NULL AS settled
FROM parked LEFT JOIN letter_done d USING (topic, partition, "offset") ORDER BY partition, key, place
"""

# --- orders -------------------------------------------------------------------------------------------------------------

ORDERS: Final = """
SELECT order_id, status, workflow, workflow_version, customer_id, items::text AS items, currency, total_minor, reason, paused,
       updated_at
FROM every_order ORDER BY order_id COLLATE "C"
"""

HISTORY: Final = """
SELECT order_id, seq, type, event_id, cause, data::text AS data FROM every_entry ORDER BY order_id COLLATE "C", seq
"""

COMMANDS: Final = """
SELECT order_id, source, id, type, accepted, reason FROM every_command ORDER BY order_id COLLATE "C"
"""

ORDER_TIMERS: Final = 'SELECT key AS order_id, due_at FROM timer ORDER BY key COLLATE "C", due_at'

#: Open ones, and those of which a person has settled by hand what had to be given back.
UNCOUNTED_ORDERS: Final = """
SELECT order_id FROM orders WHERE status NOT IN ('COMPLETED', 'CANCELLED', 'FAILED')
UNION
SELECT order_id FROM history WHERE type = 'orders.attention-resolved.v1' AND data ->> 'operator' IS NOT NULL
"""

COMPLETED_SUMS: Final = """
SELECT currency, sum(total_minor)::bigint AS total
FROM (
    SELECT order_id, status, currency, total_minor FROM orders
    UNION ALL SELECT order_id, status, currency, total_minor FROM archive
) AS o
WHERE status = 'COMPLETED' AND currency IS NOT NULL AND order_id NOT IN (SELECT unnest($1::text[])) GROUP BY currency
"""

# --- inventory ----------------------------------------------------------------------------------------------------------

RESERVATIONS: Final = """
SELECT order_id, reservation_id, state, lines::text AS lines, currency,
       extract(epoch FROM $1::timestamptz - expires_at)::double precision AS over_for_s
FROM reservation ORDER BY order_id COLLATE "C"
"""

STOCK: Final = """
WITH line AS (
    SELECT sku COLLATE "C" AS sku, sum(quantity) FILTER (WHERE state = 'held') AS held,
           sum(quantity) FILTER (WHERE state = 'shipped') AS shipped
    FROM reservation_line WHERE state IN ('held', 'shipped') GROUP BY 1
), receipt AS (
    SELECT (answer ->> 'sku') COLLATE "C" AS sku, sum((answer ->> 'quantity')::bigint) AS received,
           sum((answer ->> 'delta')::bigint) AS adjusted
    FROM shop_command WHERE type IN ('inventory.stock-received.v1', 'inventory.stock-adjusted.v1') GROUP BY 1
)
SELECT sku, s.sku IS NOT NULL AS known, s.received, s.adjusted, s.on_hand, s.held, s.shipped,
       coalesce(l.held, 0)::bigint AS held_in_lines, coalesce(l.shipped, 0)::bigint AS shipped_in_lines,
       coalesce(r.received, 0)::bigint AS receipts, coalesce(r.adjusted, 0)::bigint AS adjustments
FROM stock s FULL JOIN line l USING (sku) FULL JOIN receipt r USING (sku) ORDER BY sku
"""

IRREGULARITIES: Final = (
    "SELECT order_id, reservation_id, kind, state FROM irregularity ORDER BY order_id, reservation_id"
)

ANSWERED_BY_INVENTORY: Final = "SELECT source, id FROM shop_command WHERE id = ANY ($1::text[])"

# --- payment and its gateway --------------------------------------------------------------------------------------------

CHARGES: Final = """
SELECT c.order_id, c.charge_id, c.status, c.amount_minor, c.currency, c.captured_minor, c.refunded_minor, r.refunds
FROM charge c LEFT JOIN (
    SELECT order_id, charge_id,
           json_agg(json_build_array(refund_id, amount_minor, currency, attempt_end IS NOT DISTINCT FROM 'refunded'))::text
               AS refunds
    FROM refund GROUP BY order_id, charge_id
) r USING (order_id, charge_id)
ORDER BY c.order_id COLLATE "C"
"""

#: Charges whose end nobody knows yet: worth waiting for.
UNSETTLED_CHARGES: Final = """
SELECT count(*) FROM charge WHERE status IN ('calling', 'failed', 'unknown', 'voiding', 'returning')
"""

PAYMENT_SUMS: Final = """
SELECT currency, sum(captured_minor)::bigint AS captured, sum(refunded_minor)::bigint AS refunded
FROM charge WHERE captured_minor > 0 AND order_id NOT IN (SELECT unnest($1::text[])) GROUP BY currency
"""

ENTRIES: Final = """
SELECT order_id, kind, charge_id, refund_id, amount_minor, currency FROM gateway.entries($1)
ORDER BY order_id COLLATE "C", at, kind
"""

GATEWAY_SUMS: Final = """
SELECT currency, coalesce(sum(amount_minor) FILTER (WHERE kind = 'charge'), 0)::bigint AS charged,
       coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunded
FROM gateway.entries($1) WHERE order_id NOT IN (SELECT unnest($2::text[])) GROUP BY currency
"""

# --- notification and customer ------------------------------------------------------------------------------------------

MAILS: Final = 'SELECT order_id, kind, cause, message_id FROM mail ORDER BY order_id COLLATE "C"'

COUNTED_ORDERS: Final = 'SELECT order_id, customer_id FROM counted_order ORDER BY order_id COLLATE "C"'

CUSTOMERS: Final = """
WITH counted AS (
    SELECT customer_id, count(*) AS orders FROM counted_order GROUP BY customer_id
), remembered AS (
    SELECT DISTINCT data ->> 'customer_id' AS customer_id FROM answer WHERE type = 'customer.customer-registered.v1'
)
SELECT customer_id, coalesce(l.completed_orders, 0)::bigint AS completed_orders, coalesce(n.orders, 0)::bigint AS counted_orders,
       c.erased_at IS NOT NULL AS erased, c.erased_at IS NOT NULL AND (c.name <> '' OR c.email <> '') AS in_row,
       c.erased_at IS NOT NULL AND r.customer_id IS NOT NULL AS in_answers
FROM customer c FULL JOIN loyalty l USING (customer_id) FULL JOIN counted n USING (customer_id)
LEFT JOIN remembered r USING (customer_id) ORDER BY customer_id COLLATE "C"
"""

CONTACTS_LEFT: Final = """
SELECT customer_id FROM contact WHERE customer_id = ANY ($1::text[]) AND (name <> '' OR email <> '')
"""

ANSWERED_BY_CUSTOMER: Final = "SELECT source, command_id AS id FROM answer WHERE command_id = ANY ($1::text[])"
