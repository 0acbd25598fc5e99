-- The smallest service there can be: a number per key, which the database refuses to let fall below zero.
CREATE TABLE tally (
    key     text PRIMARY KEY,
    total   bigint NOT NULL CHECK (total >= 0),
    version bigint NOT NULL
);
