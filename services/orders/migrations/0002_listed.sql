-- Lists by status. An index on `status` itself would cost every order a new entry in every index with each of its steps: a word that
-- stays the same while an order is merely under way, and is gone when it completes, changes once on the usual path, with its last
-- step. Completed orders need no entry: nearly all are, so the newest come quickly from orders_newest.
ALTER TABLE orders ADD COLUMN listed text GENERATED ALWAYS AS (
    CASE WHEN status IN ('ENRICHING', 'RESERVING', 'PAYING') THEN 'MOVING' WHEN status <> 'COMPLETED' THEN status END
) STORED;
CREATE INDEX orders_listed ON orders (listed, created_at DESC, order_id DESC) WHERE listed IS NOT NULL;
