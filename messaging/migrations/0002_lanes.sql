-- Records that wait because one of their key could not be handled (docs/adr/0011).

CREATE TABLE parked (
    partition   integer NOT NULL,
    place       bigint NOT NULL,                -- its turn: numbers of partition_ownership.next_seq
    key         text NOT NULL,
    topic       text NOT NULL,
    "offset"    bigint NOT NULL,
    record_key  bytea,
    value       bytea,
    headers     jsonb NOT NULL,                 -- as in the outbox
    appended_at timestamptz NOT NULL,           -- when the broker appended it to its topic
    parked_at   timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL CHECK (state IN ('waiting', 'failed', 'retry')),
    failures    integer NOT NULL DEFAULT 0,
    error       text,
    failed_at   timestamptz,
    operator    text,                           -- who asked for another attempt, and why
    reason      text,
    PRIMARY KEY (partition, place)
);
CREATE INDEX parked_key ON parked (partition, key, place);

-- Letters about which everything is said. A word that comes again has no effect.
CREATE TABLE letter_done (
    topic     text NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    act       text NOT NULL,
    outcome   text NOT NULL,
    operator  text NOT NULL,
    reason    text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);
