"""Batches, bad input and the rows of the payment service: in memory and on PostgreSQL."""

from __future__ import annotations

from collections import Counter

import pytest
from payment_backends import backend
from payment_bench import CHARGE, ORDER, Shop, charge, refund, shop, void

from contracts.topics import PAYMENT_COMMANDS, dead_letter_topic
from messaging.errors import StaleRowError
from services.payment.state import Charge, Status
from services.payment.store import Change

__all__ = ["backend", "shop"]


# --- batches and bad input -------------------------------------------------------------------------------------------


async def test_many_orders_in_one_batch_are_each_charged_once(shop: Shop) -> None:
    for number in range(200):
        shop.send(charge(charge_id=f"charge-{number}"), order_id=f"ORDER-{number}")
        shop.send(charge(charge_id=f"charge-{number}"), order_id=f"ORDER-{number}")
    told = await shop.ask()
    assert told == ["charge-captured 1"] * 200
    assert len(await shop.moved(None)) == 200
    assert set((await shop.backend.rows()).values()) == {("captured", 1_000, 0)}
    assert shop.process.handler._kept == {p: {} for p in range(4)}, "nothing is under way, nothing is kept"


async def test_the_charges_of_one_order_stay_apart(shop: Shop) -> None:
    told = await shop.ask(charge(), charge("pm_card_declined", charge_id="charge-2"), void(charge_id="charge-3"))
    assert sorted(told) == ["charge-captured 1", "charge-declined 1", "charge-voided 1"]
    assert await shop.ask(refund(amount=300), refund(amount=700, refund_id="refund-2")) == ["refunded 1"] * 2
    assert await shop.backend.rows() == {
        CHARGE: ("captured", 1_000, 1_000),
        "charge-2": ("declined", 0, 0),
        "charge-3": ("voided", 0, 0),
    }


async def test_one_charge_id_under_two_orders_charges_the_first_alone(shop: Shop) -> None:
    """The gateway knows the id as another order's: the second order is declined."""
    assert await shop.ask(charge()) == ["charge-captured 1"]
    shop.send(charge(), order_id="ORDER-2")
    await shop.process.run()
    assert sorted(shop.events()) == ["charge-captured 1", "charge-declined 1"]
    assert await shop.moved("ORDER-2") == []


async def test_commands_that_cannot_be_read_never_stop_the_partition(shop: Shop) -> None:
    for number in range(120):
        value = (
            b'{"specversion":"1.0","id":"c-%d","source":"x","type":"payment.charge.v1","subject":"ORDER-1","data":{}}'
        )
        shop.broker.append(PAYMENT_COMMANDS, ORDER.encode(), value % number, ())
    shop.broker.append(PAYMENT_COMMANDS, ORDER.encode(), b"\xff not json", ())
    assert await shop.ask(charge()) == ["charge-captured 1"]
    dead = shop.broker.all_records(dead_letter_topic(PAYMENT_COMMANDS, "payment"))
    reasons = Counter(dict(record.headers)["dlq-reason"] for record in dead)
    assert reasons == {b"invalid": 120, b"not-utf8": 1}


# --- the store itself ------------------------------------------------------------------------------------------------


async def test_a_row_of_another_version_is_not_written(shop: Shop) -> None:
    await shop.ask(charge())
    charges, store = shop.backend.charges(), shop.process.stores[shop.partition()]
    transaction = await store.begin()
    (row,) = await charges.load(transaction, [ORDER])
    assert (row.status, row.captured_minor, row.version) == (Status.CAPTURED, 1_000, 2)
    charges.stage(transaction, [Change(row, ())])
    worker = shop.process.workers[shop.partition()]
    with pytest.raises(StaleRowError):
        await transaction.commit(worker._new_commit())
    await store.rollback(transaction)
    assert (await charges.load(await store.begin(), [ORDER]))[0] == row


async def test_what_is_written_is_what_is_read(shop: Shop) -> None:
    await shop.ask(void(charge_id="tombstone"))
    await shop.ask(charge("pm_refund_fails"))
    await shop.ask(refund(amount=400))
    await shop.ask(refund(amount=500, refund_id="refund-2"))
    before = await _loaded(shop)
    await shop.crash()
    assert await _loaded(shop) == before
    tombstone, charged = sorted(before, key=lambda c: c.captured_minor)
    assert (tombstone.amount_minor, tombstone.currency, tombstone.payment_method) == (None, None, None)
    assert [(r.refund_id, r.line.message) for r in charged.refunds] == [
        ("refund-1", "the bank is closed (1 of 3)"),
        ("refund-2", "the bank is closed (1 of 3)"),
    ]


async def _loaded(shop: Shop) -> list[Charge]:
    transaction = await shop.process.stores[shop.partition()].begin()
    found: list[Charge] = await shop.backend.charges().load(transaction, [ORDER])
    return sorted(found, key=lambda c: c.charge_id)
