-- The simulated gateway's own ledger. The payment service never reads or writes these tables; it has the gateway's port for that.
-- The audit reads the function gateway.entries(as_of): money that moved.

-- One row per charge id that the gateway ever heard of, kept for ever: the id is the idempotency key.
create table gateway.charges (
    charge_id      text        primary key,
    order_id       text,                    -- null, with all that a request says, for a charge cancelled before it was asked for
    amount_minor   bigint      check (amount_minor > 0),
    currency       text,
    payment_method text,
    -- attempted: every call failed transiently, nothing is fixed yet; under_way: the money moves at lands_at;
    -- captured: moved at lands_at; declined, cancelled: never will move
    state          text        not null check (state in ('attempted', 'under_way', 'captured', 'declined', 'cancelled')),
    lands_at       timestamptz,             -- when the money moves or moved
    calls          integer     not null,    -- charge calls that counted, until one settled the charge
    refunded_minor bigint      not null,    -- the sum of this charge's refunds with a refunded_at
    version        integer     not null,    -- rises by one with every write of the charge or of its refunds
    check (refunded_minor between 0 and coalesce(amount_minor, 0)),
    check (refunded_minor = 0 or state = 'captured'),
    check ((lands_at is not null) = (state in ('under_way', 'captured'))),
    check (amount_minor is not null or state = 'cancelled')
);
create index charges_by_order on gateway.charges (order_id);

-- One row per refund that was at least tried; written only together with its charge.
create table gateway.refunds (
    refund_id    text        not null unique,
    charge_id    text        not null references gateway.charges,
    order_id     text        not null,
    amount_minor bigint      not null check (amount_minor > 0),
    currency     text        not null,
    failures     integer     not null,      -- tries that failed
    refunded_at  timestamptz,               -- null: not given back so far
    primary key (charge_id, refund_id)
);
create index refunds_by_order on gateway.refunds (order_id);

-- Money that had moved by as_of, one row per movement. A charge under way counts from its lands_at on: nothing has to run for it.
create function gateway.entries(as_of timestamptz)
returns table (kind text, order_id text, charge_id text, refund_id text, amount_minor bigint, currency text, at timestamptz)
language sql stable
as $$
    select 'charge', c.order_id, c.charge_id, null, c.amount_minor, c.currency, c.lands_at
      from gateway.charges c
     where c.state = 'captured' or (c.state = 'under_way' and c.lands_at <= as_of)
    union all
    select 'refund', r.order_id, r.charge_id, r.refund_id, r.amount_minor, r.currency, r.refunded_at
      from gateway.refunds r
     where r.refunded_at is not null
$$;
