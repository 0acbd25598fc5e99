"""The test kit itself: what it promises, and that its documentation is true."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, blocks, joined

from contracts import inventory, orders, payment
from contracts.topics import INVENTORY_COMMANDS
from simulation.kit import Shop, Unexpected, add_line, approve, cancel, pause, receive_stock

GUIDE = "docs/test-kit.md"


def test_the_examples_of_the_guide_run_as_they_stand(tmp_path: Path) -> None:
    suite = tmp_path / "test_guide.py"
    suite.write_text(joined(GUIDE, "python"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, suite],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    examples = suite.read_text().count("\ndef test_")
    assert run.returncode == 0, run.stdout
    # One of them is held three times.
    assert f"{examples + 2} passed" in run.stdout


def test_the_guide_shows_what_a_failure_looks_like() -> None:
    namespace: dict[str, Any] = {}
    exec(joined(GUIDE, "python"), namespace)
    with pytest.raises(Unexpected) as found:
        namespace["a_test_that_fails"]()
    (told,) = [block.shows for block in blocks(GUIDE) if block.shows]
    assert str(found.value) == told.rstrip()


def test_only_what_was_said_since_the_last_deed_counts() -> None:
    with Shop() as shop:
        shop.given_order()
        shop.expect(inventory.ReserveStock)
        shop.when(approve())
        shop.expect_no(inventory.ReserveStock)
        assert len(shop.heard(inventory.ReserveStock)) == 1


def test_what_is_delivered_again_is_not_said_again() -> None:
    shop = Shop()
    shop.given_order()
    (asked,) = [
        record for record in shop.system.broker.journal if record.topic == INVENTORY_COMMANDS and record.key == b"O"
    ][-1:]
    shop.skip(seconds=1)
    shop.system.raw(asked.topic, asked.key, asked.value, asked.headers)
    shop.system.run()
    shop.expect_no(inventory.ReserveStock)
    assert len(shop.heard(inventory.ReserveStock)) == 1


def test_once_is_neither_twice_nor_never() -> None:
    shop = Shop()
    shop.given_order()
    shop.down("inventory")
    shop.when(cancel())
    shop.skip(seconds=60)
    shop.expect(inventory.ReleaseStock, times=2)
    shop.expect(inventory.ReleaseStock, times=None)
    with pytest.raises(Unexpected, match=r"inventory\.release-stock\.v1 once .*; it was said twice"):
        shop.expect(inventory.ReleaseStock)
    with pytest.raises(Unexpected, match=r"payment\.charge\.v1 once .*; it was said not at all"):
        shop.expect(payment.Charge)
    with pytest.raises(Unexpected, match=r"no inventory\.release-stock\.v1"):
        shop.expect_no(inventory.ReleaseStock)


def test_a_message_with_other_fields_is_told_with_those_that_it_has() -> None:
    shop = Shop()
    shop.given_order()
    shop.when(approve())
    with pytest.raises(Unexpected, match=r"payment\.charge\.v1 with amount_minor=7 once .*amount_minor=500"):
        shop.expect(payment.Charge, amount_minor=7)


def test_a_field_that_a_message_does_not_have_is_a_mistake_and_not_an_absence() -> None:
    shop = Shop()
    with pytest.raises(TypeError, match=r"payment\.charge\.v1 has no amount; it has charge_id"):
        shop.expect_no(payment.Charge, amount=500)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda shop: shop.expect_status("PAYING"),
        lambda shop: shop.expect_status("AWAITING_APPROVAL", "stock"),
        lambda shop: shop.expect_outcome("COMPLETED"),
        lambda shop: shop.expect_outcome("AWAITING_APPROVAL"),
        lambda shop: shop.expect_events(orders.OrderStarted),
        lambda shop: shop.expect_stock("tea", on_hand=98),
        lambda shop: shop.expect_money(500),
        lambda shop: shop.expect_mails("confirmation"),
        lambda shop: shop.when(add_line()).expect("too-late"),
        lambda shop: shop.skip_until(status="COMPLETED"),
        lambda shop: shop.given_order("other", until="PAYING"),
        lambda shop: shop.expect_status("PAYING", order="nobody's"),
    ],
)
def test_every_expectation_can_fail_and_tells_the_conversation(wrong: Any) -> None:
    shop = Shop()
    shop.given_order()
    with pytest.raises(Unexpected, match="The conversation with "):
        wrong(shop)


def test_a_long_conversation_is_told_by_its_end() -> None:
    shop = Shop()
    shop.given_order()
    for _ in range(60):
        shop.skip(seconds=1)
    with pytest.raises(Unexpected) as found:
        shop.expect_outcome("COMPLETED")
    assert "earlier lines" in str(found.value)
    assert len(str(found.value).splitlines()) < 50


def test_a_broken_promise_is_found_when_the_shop_closes() -> None:
    shop = Shop()
    shop.given_order()
    stock = shop.system.parts.inventory.stock
    stock["tea"] = replace(stock["tea"], held=7)
    with pytest.raises(AssertionError, match=r"Broken promises:\n .*tea"):
        shop.close()


def test_a_test_that_fails_is_told_what_it_expected_not_what_it_left_behind() -> None:
    def left_in_the_middle() -> None:
        with Shop() as shop:
            shop.given_order()
            shop.when(pause())
            shop.expect_outcome("COMPLETED")

    with pytest.raises(Unexpected, match="to have ended as COMPLETED"):
        left_in_the_middle()


def test_who_is_not_played_speaks_for_itself() -> None:
    with Shop(played=("payment",)) as shop, pytest.raises(ValueError, match="inventory speaks for itself"):
        shop.reply(inventory.StockReleased(reservation_id="r", items=()))


def test_a_played_participant_says_what_the_real_one_rarely_does() -> None:
    with Shop(played=("payment",)) as shop:
        shop.given_order()
        shop.when(approve())
        charge = shop.expect(payment.Charge)
        for attempt in (1, 2):
            shop.reply(payment.ChargeFailed(charge_id=charge.charge_id, attempt=attempt, message="busy"))
            shop.skip(seconds=3)
            shop.expect(payment.Charge, attempt=attempt + 1)
        captured = payment.ChargeCaptured(charge_id=charge.charge_id, amount_minor=500, currency="GBP", attempt=3)
        shop.reply(captured)
        shop.expect_outcome("COMPLETED")
        shop.reply(captured)
        shop.expect_no(orders.OrderCompleted)


def test_what_is_sent_is_read_together_with_what_comes_next() -> None:
    with Shop() as shop:
        said = shop.send(receive_stock("tea", 5))
        said.expect("undecided")
        shop.skip()
        said.expect("accepted")
        shop.expect_stock("tea", on_hand=105)
