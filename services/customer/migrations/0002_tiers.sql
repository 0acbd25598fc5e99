-- A customer's tier follows from completed orders. Each order counts once; its row belongs to the owner of the order's partition.
CREATE TABLE counted_order (
    order_id    text PRIMARY KEY,
    customer_id text NOT NULL,
    at          timestamptz NOT NULL
);

-- Counts are shared by all partitions and only ever added to. A customer who never registered may have one (version 1 asks nobody).
CREATE TABLE loyalty (
    customer_id      text PRIMARY KEY,
    completed_orders bigint NOT NULL
) WITH (fillfactor = 60);
