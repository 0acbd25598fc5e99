"""Since when an order waits for what it waits for: read from its history, so that no order writes it with each of its steps.

The row's `updated_at` does not tell: a line that is added, an attempt that fails, a pause and its end all change the row and leave
the order where it stood.
"""

from __future__ import annotations

from typing import Final

#: A column of a query over `orders AS o` (one that is archived waits for nothing), worked out for the rows of the page alone. What
#: began the wait stands among the first entries, however often something was tried since; so it is looked for from there. Stock is
#: given back also where a line is refused: of those entries the last one counts, and what only asks again does not.
SINCE: Final = """
CASE WHEN o.status NOT IN ('COMPLETED', 'CANCELLED', 'FAILED') THEN coalesce(CASE
    WHEN o.paused THEN (
        SELECT h.at FROM history AS h WHERE h.order_id = o.order_id AND h.type = 'orders.order-paused.v1'
        ORDER BY h.seq DESC LIMIT 1)
    WHEN o.waiting_for = 'release' THEN (
        SELECT h.at FROM history AS h
        WHERE h.order_id = o.order_id AND h.type NOT IN ('orders.asked-again', 'orders.retried-now')
          AND h.sent::text LIKE '%"inventory.release-stock.v1"%'
        ORDER BY h.seq DESC LIMIT 1)
    WHEN o.phase <> 'ENRICHING' THEN (
        SELECT h.at FROM history AS h
        WHERE h.order_id = o.order_id AND CASE
            WHEN o.phase = 'RESERVING' THEN h.type = 'orders.order-enriched.v1'
            WHEN o.phase = 'AWAITING_APPROVAL' THEN h.type = 'orders.stock-reserved.v1'
            WHEN o.phase = 'PAYING' THEN h.type = 'orders.payment-approved.v1'
            WHEN o.waiting_for = 'refund' THEN h.sent::text LIKE '%"payment.refund.v1"%'
            ELSE h.sent::text LIKE '%"payment.void-charge.v1"%'
        END
        ORDER BY h.seq LIMIT 1)
END, o.created_at) END AS waiting_since
"""
