-- The customers as they were registered last. A row is written by the owner of its key's partition alone.
CREATE TABLE customer (
    customer_id   text PRIMARY KEY,
    name          text NOT NULL,
    email         text NOT NULL,
    registered_at timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL           -- when the name and the address were last replaced
);

-- What each command was answered, for ever: the same command again gets the same answer. A command is known by its sender and
-- its id, whatever key it comes under.
CREATE TABLE answer (
    source     text NOT NULL,
    command_id text NOT NULL,
    type       text NOT NULL,                    -- the answer's message type
    data       jsonb NOT NULL,                   -- the answer's data, with `duplicate` false
    at         timestamptz NOT NULL,
    PRIMARY KEY (source, command_id)
);
