-- One row per order. `state` is what the workflow knows (services/orders/domain/state.py); the other columns are what is asked
-- for. No index stands on a column that changes, so that updates stay within their page (HOT).
CREATE TABLE orders (
    order_id         text PRIMARY KEY,
    version          bigint NOT NULL,        -- rises with every write; a write from another state than it read is refused
    workflow         text NOT NULL,
    workflow_version integer NOT NULL,
    status           text NOT NULL,
    phase            text NOT NULL,
    reason           text,
    waiting_for      text,
    deadline         timestamptz,
    paused           boolean NOT NULL DEFAULT false,
    customer_id      text NOT NULL,
    currency         text,
    total_minor      bigint,
    items            json NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    state            json NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX orders_newest ON orders (created_at DESC, order_id DESC);
CREATE INDEX orders_of_customer ON orders (customer_id, created_at DESC, order_id DESC);

-- What every command was told; accepted is null while it is not decided. Kept for ever: this is how duplicates are known.
CREATE TABLE command (
    order_id text NOT NULL,
    source   text NOT NULL,
    id       text NOT NULL,
    type     text NOT NULL,
    accepted boolean,
    reason   text,
    message  text NOT NULL DEFAULT '',
    at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, source, id)
);

-- The append-only history: every published event of an order, and notes that are not published. seq rises per order. What a
-- decision asked of the participants stands with the first thing that it told; a decision that only asks has a note of its own.
CREATE TABLE history (
    order_id text NOT NULL,
    seq      bigint NOT NULL,
    at       timestamptz NOT NULL,
    type     text NOT NULL,
    cause    text NOT NULL,                  -- the id of the message that caused it, then what and where that is
    cause_type      text NOT NULL,
    cause_at        timestamptz NOT NULL,    -- when it was appended to its topic, or was due
    cause_topic     text,                    -- null, with partition and offset, for timers
    cause_partition integer,
    cause_offset    bigint,
    answers  text,                           -- the id of the request that the cause answers, if it is an answer
    event_id text,                           -- null for notes
    worker   text NOT NULL,                  -- the identity of the process that decided it
    data     json NOT NULL,
    sent     json,                           -- [{sequence, type, id, data}]: the requests; null: none
    PRIMARY KEY (order_id, seq)
);
