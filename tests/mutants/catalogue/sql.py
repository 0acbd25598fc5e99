"""Bugs in the SQL of the runtime and of the services. They are found on a real PostgreSQL."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_RUNTIME: Final = "messaging/postgres_sql.py"
_STORE: Final = "integration/test_messaging_store.py -k postgres"

RUNTIME: Final = (
    Mutant(
        "off-by-one-epoch",
        "taking a partition over does not raise its number: the owner before it goes on",
        _RUNTIME,
        "SET epoch = o.epoch + 1, owner",
        "SET epoch = o.epoch, owner",
        likely="integration/test_messaging_store.py::test_whoever_owned_the_partition_before_changes_nothing_any_more -k postgres",
    ),
    Mutant(
        "older-owner-commits",
        "the fence lets an older owner through",
        _RUNTIME,
        "WHERE o.partition = r.partition AND o.epoch = r.epoch AND o.offsets @> r.expected::jsonb",
        "WHERE o.partition = r.partition AND o.epoch >= r.epoch AND o.offsets @> r.expected::jsonb",
        likely="integration/test_messaging_store.py::test_whoever_owned_the_partition_before_changes_nothing_any_more -k postgres",
    ),
    Mutant(
        "fence-without-offsets",
        "a commit that did not go on from the stored offsets is taken",
        _RUNTIME,
        "AND o.offsets @> r.expected::jsonb",
        "AND r.expected IS NOT NULL",
        likely="integration/test_messaging_store.py::test_a_batch_that_did_not_go_on_from_the_stored_offsets_changes_nothing -k postgres",
    ),
    Mutant(
        "older-owner-marks",
        "an older owner marks as published what it never published",
        _RUNTIME,
        "acked = $4::jsonb\n    WHERE partition = $1 AND epoch = $2",
        "acked = $4::jsonb\n    WHERE partition = $1 AND epoch >= $2",
        likely="integration/test_messaging_store.py::test_whoever_owned_the_partition_before_changes_nothing_any_more -k postgres",
    ),
    Mutant(
        "published-rows-forgotten-at-once",
        "published rows of the outbox are not kept for their time",
        _RUNTIME,
        "forget_outbox($1)",
        "forget_outbox(greatest($1, 'infinity'))",
        likely="integration/test_messaging_store.py::test_what_is_not_published_is_never_forgotten_and_what_is_stays_for_its_time -k postgres",
    ),
    Mutant(
        "timer-not-replaced",
        "a timer that is set again stays as it was",
        _RUNTIME,
        "ON CONFLICT (partition, key, name) DO UPDATE SET step = excluded.step, due_at = excluded.due_at",
        "ON CONFLICT (partition, key, name) DO NOTHING",
        likely="integration/test_messaging_store.py::test_a_timer_that_is_set_again_is_the_new_one_with_its_step -k postgres",
    ),
    Mutant(
        "timer-keeps-its-old-step",
        "a timer that is set again speaks for the step that is over",
        _RUNTIME,
        "DO UPDATE SET step = excluded.step, due_at = excluded.due_at",
        "DO UPDATE SET due_at = excluded.due_at",
        likely="integration/test_messaging_store.py::test_a_timer_that_is_set_again_is_the_new_one_with_its_step -k postgres",
    ),
    Mutant(
        "effect-never-over",
        "the end of an effect does not remove it: the next owner does it again",
        "messaging/postgres_statement.py",
        '("effects_gone", sql.END_EFFECTS, sorted(ended))',
        '("effects_gone", sql.END_EFFECTS, [])',
        likely="integration/test_messaging_store.py::test_an_effect_is_asked_for_until_its_end_is_recorded -k postgres",
    ),
    Mutant(
        "rows-not-counted",
        "a statement that changed fewer rows than it should is taken for done",
        "messaging/postgres_statement.py",
        "elif part.rows is not None:",
        "elif part.rows is None and part.arguments is None:",
        likely="integration/test_payment_store.py::test_a_row_of_another_version_is_not_written -k postgres",
    ),
)

SERVICES: Final = (
    Mutant(
        "order-overwritten",
        "an order is written over whatever somebody else has made of it meanwhile",
        "services/orders/store.py",
        "WHERE o.version = excluded.version - 1",
        "WHERE o.version <= excluded.version",
        likely="integration/test_orders_store.py::test_an_order_that_is_not_as_it_was_read_is_not_written -k postgres",
    ),
    Mutant(
        "verdict-changed-afterwards",
        "a verdict that was told is changed",
        "services/orders/store.py",
        "WHERE c.accepted IS NULL",
        "WHERE c.accepted IS NULL OR c.at IS NOT NULL",
        likely="integration/test_orders_store.py::test_a_verdict_is_settled_once_and_never_changed -k postgres",
    ),
    Mutant(
        "forgotten-lock-order",
        "two batches lock the same pieces each in an order of its own, and wait for each other",
        "services/inventory/store.py",
        "ORDER BY sku FOR UPDATE",
        "ORDER BY random() FOR UPDATE",
        likely="integration/test_inventory_concurrency.py",
    ),
    Mutant(
        "stock-not-locked",
        "two batches sell the same pieces at once",
        "services/inventory/store.py",
        "ORDER BY sku FOR UPDATE",
        "ORDER BY sku",
        likely="integration/test_inventory_concurrency.py",
    ),
    Mutant(
        "released-reservation-moves-again",
        "a reservation that is not held any more is moved once more",
        "services/inventory/store.py",
        'AND reservation.state = \'held\'\nRETURNING 1\n"""\n\nADD_ANSWERS',
        'RETURNING 1\n"""\n\nADD_ANSWERS',
        likely="integration/test_inventory_store.py::test_what_is_not_held_any_more_is_not_moved_once_more -k postgres",
    ),
    Mutant(
        "charge-overwritten",
        "a charge is written over whatever somebody else has made of it meanwhile",
        "services/payment/store.py",
        "WHERE c.version = excluded.version - 1",
        "WHERE c.version <= excluded.version",
        likely="integration/test_payment_store.py::test_a_row_of_another_version_is_not_written -k postgres",
    ),
    Mutant(
        "ledger-overwritten",
        "the gateway's ledger is written over what another process has just booked",
        "services/payment/gateway/sql.py",
        "where c.version = excluded.version - 1",
        "where c.version <= excluded.version",
        likely="integration/test_gateway_ledger.py::test_a_charge_and_a_cancel_that_race_between_processes_agree",
    ),
    Mutant(
        "count-of-orders-overwritten",
        "a customer's completed orders are those of the last batch alone",
        "services/customer/store.py",
        "loyalty.completed_orders + excluded.completed_orders",
        "excluded.completed_orders",
        likely="integration/test_customer_tiers.py -k postgres",
    ),
    Mutant(
        "mail-attempts-forgotten",
        "how often a mail was tried is forgotten, and every attempt is the first",
        "services/notification/store.py",
        "SET status = excluded.status, attempts = excluded.attempts,",
        "SET status = excluded.status,",
        likely="integration/test_notification_store.py::test_a_failed_attempt_is_repeated_with_its_message_id_and_the_newest_address",
    ),
)

PART: Final = Part(
    "sql",
    (
        "tests/integration/test_messaging_store.py -k postgres",
        "tests/integration/test_orders_store.py -k postgres",
        "tests/integration/test_payment_store.py -k postgres",
        "tests/integration/test_inventory_store.py -k postgres",
        "tests/integration/test_customer_tiers.py -k postgres",
        "tests/integration/test_notification_store.py -k postgres",
        "tests/integration/test_inventory_concurrency.py",
        "tests/integration/test_gateway_ledger.py",
    ),
    (*RUNTIME, *SERVICES),
    needs_database=True,
)
