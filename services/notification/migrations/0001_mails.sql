-- Notification's own copy of who the customers are. customer.events is keyed by the customer's id, so a row is written by one
-- partition's owner alone and in order; the owners of the orders' partitions only read it.
CREATE TABLE contact (
    customer_id   text PRIMARY KEY,
    name          text NOT NULL,
    email         text NOT NULL,
    registered_at timestamptz NOT NULL           -- when the registration was appended to its topic; an older one changes nothing
);

-- One row per mail; it stays for ever, so that a repeated event sends nothing again.
CREATE TABLE mail (
    order_id    text NOT NULL,
    kind        text NOT NULL,                   -- confirmation, cancellation
    cause       text NOT NULL,                   -- the id of the event that asked for it
    customer_id text NOT NULL,
    message_id  text NOT NULL,                   -- follows from order, kind and cause
    status      text NOT NULL,                   -- waiting (for an address), sending, retrying, sent, undeliverable
    attempts    integer NOT NULL,                -- how often sending was tried
    lookups     integer NOT NULL,                -- how often the customer was not known
    last_error  text,                            -- without any address
    event       jsonb,                           -- what the mail tells; kept until it is sent
    ended_at    timestamptz NOT NULL,            -- when the order ended
    created_at  timestamptz NOT NULL,
    sent_at     timestamptz,
    PRIMARY KEY (order_id, kind)
) WITH (fillfactor = 70);

-- What a person should look at.
CREATE INDEX mail_undeliverable ON mail (created_at) WHERE status = 'undeliverable';
