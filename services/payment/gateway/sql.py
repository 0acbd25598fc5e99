"""The statements of the ledger in PostgreSQL."""

from typing import Final

CHARGES: Final = """
select charge_id, order_id, amount_minor, currency, payment_method, state, lands_at, calls, refunded_minor, version
  from gateway.charges where charge_id = any($1::text[])
"""
REFUNDS: Final = """
select refund_id, charge_id, order_id, amount_minor, currency, failures, refunded_at
  from gateway.refunds where refund_id = any($1::text[])
"""
WRITE_CHARGES: Final = """
insert into gateway.charges as c
       (charge_id, order_id, amount_minor, currency, payment_method, state, lands_at, calls, refunded_minor, version)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::int[],
                     $9::bigint[], $10::int[])
    on conflict (charge_id) do update
       set order_id = excluded.order_id, amount_minor = excluded.amount_minor, currency = excluded.currency,
           payment_method = excluded.payment_method, state = excluded.state, lands_at = excluded.lands_at, calls = excluded.calls,
           refunded_minor = excluded.refunded_minor, version = excluded.version
     where c.version = excluded.version - 1
returning charge_id
"""
# The arbiter is the primary key. A refund id that another charge took in between violates its own unique index: all is done again.
WRITE_CHARGES_AND_REFUNDS: Final = f"""
with written as ({WRITE_CHARGES}),
     refunded as (
insert into gateway.refunds (refund_id, charge_id, order_id, amount_minor, currency, failures, refunded_at)
select r.* from unnest($11::text[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::int[], $17::timestamptz[])
             as r (refund_id, charge_id, order_id, amount_minor, currency, failures, refunded_at)
           join written using (charge_id)
    on conflict (charge_id, refund_id) do update set failures = excluded.failures, refunded_at = excluded.refunded_at)
select charge_id from written
"""
ENTRIES: Final = """
select kind, charge_id, amount_minor, currency, at from gateway.entries($1)
 order by at, kind, charge_id, refund_id
"""
ENTRIES_OF_ORDER: Final = """
select kind, charge_id, amount_minor, currency, at from gateway.entries($1) where order_id = $2
 order by at, kind, charge_id, refund_id
"""
