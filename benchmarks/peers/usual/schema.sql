-- Every service's database has the first two; each service uses its own of the others.
CREATE TABLE processed (id text PRIMARY KEY);
CREATE TABLE outbox (
    id         text PRIMARY KEY,
    topic      text NOT NULL,
    key        text NOT NULL,
    type       text NOT NULL,
    value      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    order_id       text PRIMARY KEY,
    status         text NOT NULL,
    customer_id    text NOT NULL,
    items          jsonb NOT NULL,
    payment_method text NOT NULL,
    enriched       integer NOT NULL DEFAULT 0,
    approved       boolean NOT NULL DEFAULT false,
    reserved       boolean NOT NULL DEFAULT false,
    total_minor    bigint,
    currency       text,
    updated_at     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE TABLE history (
    order_id text NOT NULL,
    number   bigint GENERATED ALWAYS AS IDENTITY,
    type     text NOT NULL,
    data     jsonb NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, number)
);

CREATE TABLE stock (
    sku              text PRIMARY KEY,
    unit_price_minor bigint NOT NULL,
    on_hand          bigint NOT NULL CHECK (on_hand >= 0),
    held             bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    shipped          bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE reservation (
    order_id text PRIMARY KEY,
    state    text NOT NULL,
    items    jsonb NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE charge (
    charge_id    text PRIMARY KEY,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    status       text NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE gateway_entry (
    charge_id    text PRIMARY KEY,
    amount_minor bigint NOT NULL
);

CREATE TABLE customer (
    customer_id text PRIMARY KEY,
    tier        text NOT NULL DEFAULT 'standard',
    completed   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE also_bought (
    sku  text PRIMARY KEY,
    skus jsonb NOT NULL
);
