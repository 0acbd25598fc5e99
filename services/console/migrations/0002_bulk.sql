-- Bulk runs: what was asked of which orders, and a receipt for each. A run whose console died goes on from here: the ids of its
-- commands follow from the run's and the order's, so that what is sent again is a duplicate.
CREATE TABLE bulk_run (
    run_id     text PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    account    text NOT NULL,
    role       text NOT NULL,
    action     text NOT NULL,
    type       text NOT NULL,
    data       json NOT NULL,                -- what each command carries
    about      text NOT NULL,                -- how the orders were chosen, in words
    reason     text NOT NULL,
    rate_per_s double precision NOT NULL,
    state      text NOT NULL DEFAULT 'planning' CHECK (state IN ('planning', 'planned', 'running', 'stopped', 'done', 'failed')),
    plan       json,                         -- the plans of all orders, summed up
    told       text NOT NULL DEFAULT ''      -- why it stopped or failed
);
CREATE INDEX bulk_run_newest ON bulk_run (at DESC);

CREATE TABLE bulk_item (
    run_id     text NOT NULL REFERENCES bulk_run ON DELETE CASCADE,
    order_id   text NOT NULL,
    n          integer NOT NULL,
    command_id text,
    verdict    text,                         -- null: no receipt yet
    reason     text,
    message    text,
    at         timestamptz,
    PRIMARY KEY (run_id, order_id)
);
CREATE INDEX act_on ON act (target, at DESC);
CREATE INDEX bulk_item_order ON bulk_item (order_id) WHERE verdict IS NOT NULL;
