-- What the payment service knows. The gateway's ledger is kept elsewhere, and is the truth about money that moved.

-- One row per charge of an order, kept for ever: the id is the idempotency key. Only the owner of the order's partition writes it,
-- under a version check.
CREATE TABLE charge (
    number         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- the order in which lists are paged
    order_id       text NOT NULL,
    charge_id      text NOT NULL,
    status         text NOT NULL CHECK (status IN ('calling', 'failed', 'unknown', 'voiding', 'captured', 'declined', 'voided',
                                                   'returning', 'returned')),
    amount_minor   bigint,                          -- null, with currency and method: only a void was ever asked for
    currency       text,
    payment_method text,
    attempt        integer NOT NULL,                -- the last charge attempt that was made; 0: none
    attempt_end    text,                            -- how it ended; null: it is under way
    message        text NOT NULL,                   -- why it did not work
    void_attempt   integer NOT NULL,                -- the same for void
    void_end       text,
    void_message   text NOT NULL,
    captured_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    version        bigint NOT NULL,                 -- rises by one with every write of the charge or of its refunds
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, charge_id),
    CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    CHECK (captured_minor <= coalesce(amount_minor, 0)),
    CHECK ((captured_minor > 0) = (status IN ('captured', 'returning', 'returned')))
) WITH (fillfactor = 80);

-- One row per refund that the gateway was asked for; written only together with its charge.
CREATE TABLE refund (
    order_id     text NOT NULL,
    charge_id    text NOT NULL,
    refund_id    text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     text NOT NULL,
    own          boolean NOT NULL,                  -- asked for by this service: the money was captured after the void
    attempt      integer NOT NULL,                  -- the last attempt that was made
    attempt_end  text,                              -- how it ended; null: it is under way
    message      text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, charge_id, refund_id)
);
