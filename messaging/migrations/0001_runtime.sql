-- The runtime's own tables; every service's database has them.

-- One row per partition: who owns it, what is read, what is published. Every commit of a batch updates it under the
-- condition that the ownership number and the offsets are as expected: this row is the fence.
CREATE TABLE partition_ownership (
    partition     integer PRIMARY KEY,
    epoch         bigint NOT NULL DEFAULT 0,
    owner         text NOT NULL DEFAULT '',
    offsets       jsonb NOT NULL DEFAULT '{}',  -- topic -> next offset to read
    next_seq      bigint NOT NULL DEFAULT 1,    -- the next outbox row's number; it is the events' sequence as well
    published_seq bigint NOT NULL DEFAULT 0,    -- every outbox row up to here is on its topic
    acked         jsonb NOT NULL DEFAULT '{}',  -- topic -> the broker's offset of the last row published
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Rows are inserted with the state they follow from, published in order of seq, and forgotten after a grace period.
CREATE TABLE outbox (
    partition  integer NOT NULL,
    seq        bigint NOT NULL,
    target     integer NOT NULL,                -- the partition it goes to (another one only for forwarded commands)
    topic      text NOT NULL,
    type       text NOT NULL,
    key        bytea,
    value      bytea,
    headers    jsonb,                           -- [[name, value]] in base64; null means the standard headers of the type
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, seq)
);

-- Where published rows of the outbox stand: a row per flush (about one a second while anything is published), kept when the outbox
-- rows are gone. Position i of the arrays is one message; it is on this partition of its topic. Forwarded commands, which are on
-- another one, are left out. The row of a message is the first whose last_seq is not below its own.
CREATE TABLE published (
    partition integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    topics    text[] NOT NULL,
    seqs      bigint[] NOT NULL,
    offsets   bigint[] NOT NULL,
    PRIMARY KEY (partition, last_seq)
);

CREATE TABLE timer (
    partition integer NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    step      bigint NOT NULL,                  -- the step that set it; when that is over the timer changes nothing
    due_at    timestamptz NOT NULL,
    PRIMARY KEY (partition, key, name)
);
CREATE INDEX timer_due ON timer (partition, due_at);

-- Effects outside the database that were asked for and whose end is not recorded yet.
CREATE TABLE effect (
    partition  integer NOT NULL,
    id         text NOT NULL,
    key        text NOT NULL,
    kind       text NOT NULL,
    request    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, id)
);

CREATE VIEW consumed_offset AS
    SELECT partition, key AS topic, value::bigint AS next_offset
    FROM partition_ownership, jsonb_each_text(offsets);

-- Turns an unexpected number of rows into an error that undoes the whole statement.
CREATE FUNCTION expect_rows(what text, expected bigint, actual bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION 'expected % rows of %, found %', expected, what, actual USING ERRCODE = 'OP001';
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION expect_fence(held bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF held <> 1 THEN
        RAISE EXCEPTION 'the partition has another owner or other offsets' USING ERRCODE = 'OP002';
    END IF;
    RETURN true;
END
$$;
