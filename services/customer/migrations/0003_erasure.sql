-- When name and address were erased: both are empty then. Null again once the customer is registered anew.
ALTER TABLE customer ADD COLUMN erased_at timestamptz;

-- Who erased whom and why, for ever. Nothing of what was erased.
CREATE TABLE erasure (
    source      text NOT NULL,                   -- with command_id: the command
    command_id  text NOT NULL,
    customer_id text NOT NULL,
    operator    text NOT NULL,
    reason      text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (source, command_id)
);

-- The answers that still hold a customer's name and address: erasing has to find them.
CREATE INDEX answer_with_address ON answer ((data ->> 'customer_id')) WHERE type = 'customer.customer-registered.v1';
