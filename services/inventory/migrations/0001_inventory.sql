-- Catalogue and stock: one row per SKU, shared by all partitions. A batch locks the rows it needs in the order of their
-- SKUs before it decides. Codes are compared byte by byte ("C"), so that every process sorts them alike.
CREATE TABLE stock (
    sku              text COLLATE "C" PRIMARY KEY,
    description      text,
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor > 0),
    currency         text NOT NULL,
    received         bigint NOT NULL CHECK (received >= 0),  -- sum of all receipts
    adjusted         bigint NOT NULL,                        -- sum of all corrections, up and down
    held             bigint NOT NULL CHECK (held >= 0),      -- sum of the reservations that are held
    shipped          bigint NOT NULL CHECK (shipped >= 0),   -- sum of the reservations that are shipped
    -- What can still be held. That it follows from the others is the promise on_hand + held + shipped = received + adjusted.
    on_hand          bigint NOT NULL GENERATED ALWAYS AS (received + adjusted - held - shipped) STORED CHECK (on_hand >= 0)
) WITH (fillfactor = 50);  -- room for the next version of a hot row on its own page

-- A reservation belongs to the order under whose key it was asked for; that makes its row one partition's alone. Rows are never
-- deleted: what is recorded here is the answer to every repeat.
CREATE TABLE reservation (
    order_id        text COLLATE "C" NOT NULL,
    reservation_id  text COLLATE "C" NOT NULL,
    state           text NOT NULL CHECK (state IN ('held', 'refused', 'released', 'shipped', 'tombstone')),
    lines           jsonb NOT NULL,   -- [{sku, quantity, unit_price_minor}] in the command's order; no prices where it was refused
    currency        text,
    refusal_reason  text,             -- of a refused one and of a tombstone
    refusal_message text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (order_id, reservation_id),
    CHECK ((refusal_reason IS NULL) = (state IN ('held', 'released', 'shipped'))),
    CHECK ((currency IS NULL) = (refusal_reason IS NOT NULL))
) WITH (fillfactor = 80);

-- Every line of every reservation, for the audit and for people: held = sum(quantity) where state = 'held', and so on.
CREATE VIEW reservation_line AS
    SELECT r.order_id, r.reservation_id, r.state, l.number, l.line ->> 'sku' AS sku,
           (l.line ->> 'quantity')::bigint AS quantity, (l.line ->> 'unit_price_minor')::bigint AS unit_price_minor,
           r.currency
    FROM reservation r, jsonb_array_elements(r.lines) WITH ORDINALITY AS l (line, number);

-- The answer that each shop command got (and each command that nobody can carry out); a repeat gets it again.
CREATE TABLE shop_command (
    key         text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    type        text NOT NULL,        -- the type of the answer
    answer      jsonb NOT NULL,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (key, source, id)
);

-- What should never happen, and changed nothing: an order completed on a reservation that is not held, a release of what was
-- shipped. The audit asks for none of these.
CREATE TABLE irregularity (
    order_id       text COLLATE "C" NOT NULL,
    reservation_id text COLLATE "C" NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('shipping-not-held', 'release-after-shipping')),
    state          text NOT NULL,     -- what the reservation was then; 'unknown' where there was none
    cause          text NOT NULL,     -- the id of the message
    at             timestamptz NOT NULL,
    PRIMARY KEY (order_id, reservation_id, kind)
);
