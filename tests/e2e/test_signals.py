"""Signals get a verdict whenever they come, and take effect once."""

from __future__ import annotations

import asyncio

from e2e.shop import Shop, order_data


async def test_a_line_added_before_approval_grows_the_total_and_holds_the_extra(shop: Shop) -> None:
    first, extra = await shop.shelf(5, 100), await shop.shelf(5, 30)
    order_id = await shop.held({first: 1})
    assert (await shop.add_line(order_id, extra, 2)).short == "command-accepted"
    added = await shop.saw(order_id, "line-item-added")
    assert (added.data["sku"], added.data["quantity"], added.data["unit_price_minor"]) == (extra, 2, 30)
    assert added.data["total_minor"] == 160
    order = await shop.order(order_id)
    assert order["total_minor"] == 160
    assert order["items"] == [
        {"sku": first, "quantity": 1, "unit_price_minor": 100},
        {"sku": extra, "quantity": 2, "unit_price_minor": 30},
    ]
    assert (await shop.stock(extra))["held"] == 2
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).data["total_minor"] == 160
    await shop.stock_settles(extra, on_hand=3, held=0, shipped=2)
    assert [entry["amount_minor"] for entry in await shop.entries(order_id)] == [160]


async def test_a_line_that_is_out_of_stock_is_rejected_and_leaves_the_order_as_it_was(shop: Shop) -> None:
    first, scarce = await shop.shelf(5, 100), await shop.shelf(1, 30)
    order_id = await shop.held({first: 1})
    before = await shop.order(order_id)
    verdict = await shop.add_line(order_id, scarce, 2)
    assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "out-of-stock")
    after = await shop.order(order_id)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    unknown = await shop.add_line(order_id, shop.new_id("no-such-sku"), 1)
    assert (unknown.short, unknown.data["reason"]) == ("command-rejected", "unknown-sku")
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).data["total_minor"] == 100


async def test_a_line_in_another_currency_is_rejected(shop: Shop) -> None:
    first, yen = await shop.shelf(1), shop.new_id("sku")
    await shop.receive(yen, 5, unit_price_minor=7, currency="JPY")
    order_id = await shop.held({first: 1})
    verdict = await shop.add_line(order_id, yen, 1)
    assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "currency-mismatch")
    await shop.cancel(order_id)
    await shop.ended(order_id)


async def test_nothing_can_be_added_once_the_order_is_approved_or_over(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")  # a second in which it is being paid
    await shop.approve(order_id)
    verdict = await shop.add_line(order_id, sku, 1)
    assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "not-allowed")
    await shop.ended(order_id)
    verdict = await shop.add_line(order_id, sku, 1)
    assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "too-late")


async def test_every_signal_after_the_end_is_too_late(shop: Shop) -> None:
    sku = await shop.shelf(2)
    end = await shop.buy({sku: 1})
    for verdict in (await shop.cancel(end.key), await shop.approve(end.key), await shop.add_line(end.key, sku, 1)):
        assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "too-late")
    assert (await shop.order(end.key))["status"] == "COMPLETED"
    assert len(await shop.entries(end.key)) == 1


async def test_signals_for_an_order_that_does_not_exist_are_rejected_as_unknown(shop: Shop) -> None:
    nobody = shop.new_id("no-such-order")
    for verdict in (await shop.approve(nobody), await shop.cancel(nobody), await shop.add_line(nobody, "sku", 1)):
        assert (verdict.key, verdict.short, verdict.data["reason"]) == (nobody, "command-rejected", "unknown-order")
    assert (await shop.get("orders-api", f"/orders/{nobody}"))[0] == 404


async def test_the_same_command_twice_is_told_as_a_duplicate_and_takes_effect_once(shop: Shop) -> None:
    sku, order_id, again = await shop.shelf(10), shop.new_id("order"), shop.new_id("start")
    data = order_data({sku: 2})
    first = await shop.ask("orders.start-order.v1", order_id, data, id=again)
    second = await shop.ask("orders.start-order.v1", order_id, data, id=again)
    assert [v.short for v in (first, second)] == ["command-accepted"] * 2
    assert [v.data["duplicate"] for v in (first, second)] == [False, True]
    await shop.saw(order_id, "stock-reserved")
    approval = shop.new_id("approve")
    verdicts = [await shop.approve(order_id, id=approval) for _ in range(3)]
    assert [v.data["duplicate"] for v in verdicts] == [False, True, True]
    await shop.ended(order_id)
    late = await shop.approve(order_id, id=approval)
    assert (late.short, late.data["duplicate"]) == ("command-accepted", True)  # its own verdict again, not too-late
    kinds = shop.kinds(order_id)
    assert kinds.count("order-started") == kinds.count("payment-captured") == kinds.count("order-completed") == 1
    assert len(await shop.entries(order_id)) == 1
    await shop.stock_settles(sku, on_hand=8, shipped=2)


async def test_the_same_source_and_id_is_the_same_command_whatever_it_holds_now(shop: Shop) -> None:
    sku, order_id, again = await shop.shelf(10), shop.new_id("order"), shop.new_id("start")
    await shop.ask("orders.start-order.v1", order_id, order_data({sku: 1}), id=again)
    verdict = await shop.ask("orders.start-order.v1", order_id, order_data({sku: 5}), id=again)
    assert (verdict.short, verdict.data["duplicate"]) == ("command-accepted", True)
    other = await shop.ask("orders.start-order.v1", order_id, order_data({sku: 5}), id=again, source="e2e-other")
    assert (other.short, other.data["reason"]) == ("command-rejected", "conflict")
    assert [item["quantity"] for item in (await shop.order(order_id))["items"]] == [1]


async def test_an_equal_start_under_another_id_is_a_duplicate_and_an_unequal_one_a_conflict(shop: Shop) -> None:
    sku, order_id = await shop.shelf(10), shop.new_id("order")
    await shop.held({sku: 1}, order_id=order_id)
    spelt_out = order_data({sku: 1}, payment_method="pm_card_visa", approval_timeout_s=900)
    equal = await shop.ask("orders.start-order.v1", order_id, spelt_out)
    assert (equal.short, equal.data["duplicate"]) == ("command-accepted", True)
    for data in (
        order_data({sku: 2}),
        order_data({sku: 1}, customer_id="somebody-else"),
        order_data([(sku, 1), (sku, 1)]),
    ):
        verdict = await shop.ask("orders.start-order.v1", order_id, data)
        assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "conflict")
    assert (await shop.stock(sku))["held"] == 1
    await shop.approve(order_id)
    await shop.ended(order_id)
    equal = await shop.ask("orders.start-order.v1", order_id, order_data({sku: 1}))
    assert (equal.short, equal.data["duplicate"]) == ("command-accepted", True)


async def test_a_second_approval_or_cancellation_by_anybody_is_a_duplicate(shop: Shop) -> None:
    sku = await shop.shelf(2)
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")
    verdicts = [await shop.approve(order_id), await shop.approve(order_id)]
    verdicts += [await shop.cancel(order_id), await shop.cancel(order_id, source="e2e-other")]
    assert [(v.short, v.data["duplicate"]) for v in verdicts] == [
        ("command-accepted", False),
        ("command-accepted", True),
        ("command-accepted", False),
        ("command-accepted", True),
    ]
    late = await shop.approve(order_id)
    assert (late.short, late.data["reason"]) == ("command-rejected", "too-late")
    assert (await shop.ended(order_id)).short == "order-cancelled"


async def test_an_approval_sent_with_the_order_itself_is_not_lost(shop: Shop) -> None:
    sku, order_id = await shop.shelf(1), shop.new_id("order")
    started = await shop.send("orders.start-order.v1", order_id, order_data({sku: 1}))
    approved = await shop.send("orders.approve-payment.v1", order_id, {"approved_by": "e2e"})
    assert [(await shop.verdict(command)).short for command in (started, approved)] == ["command-accepted"] * 2
    assert (await shop.ended(order_id)).short == "order-completed"


async def test_of_two_orders_for_the_last_piece_exactly_one_wins_a_hundred_times(shop: Shop) -> None:
    async def duel() -> tuple[list[str], str]:
        sku = await shop.shelf(1)
        pair = [shop.new_id("duel"), shop.new_id("duel")]
        # Both are on their way before either is answered; their keys lie on whatever partitions they hash to.
        await asyncio.gather(
            *(shop.send("orders.start-order.v1", one, order_data({sku: 1})) for one in pair),
            *(shop.send("orders.approve-payment.v1", one, {"approved_by": "e2e"}) for one in pair),
        )
        ends = await asyncio.gather(*(shop.ended(one) for one in pair))
        return sorted(end.data.get("reason", end.short) for end in ends), sku

    results = await asyncio.gather(*(duel() for _ in range(100)))
    assert [ends for ends, _ in results] == [["order-completed", "out-of-stock"]] * 100
    for _, sku in results:
        await shop.stock_settles(sku, on_hand=0, held=0, shipped=1)
