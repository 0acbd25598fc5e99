-- Lists by the beginning of an id. In the order of their bytes ids that begin alike stand together, whatever the database's own order
-- is: then the primary key finds them, and no other index is needed.
ALTER TABLE orders ALTER COLUMN order_id TYPE text COLLATE "C";

-- Lists by reason. An order has none until it is given up, and then `listed` changes anyway: the usual path pays nothing for it.
CREATE INDEX orders_of_reason ON orders (reason, created_at DESC, order_id DESC) WHERE reason IS NOT NULL;

-- Lists by SKU. The lines stand in the order's row as JSON; this is written when an order is started, and when it gets another line.
CREATE TABLE order_sku (
    sku        text NOT NULL,
    created_at timestamptz NOT NULL,         -- the order's
    order_id   text COLLATE "C" NOT NULL,
    PRIMARY KEY (sku, created_at, order_id)
);
INSERT INTO order_sku (sku, created_at, order_id)
SELECT DISTINCT line ->> 'sku', created_at, order_id FROM orders, json_array_elements(items) AS line;
