"""Troubles staged on a real stack, one after another, each healed again: the doctor names the chain of causes and the verb."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from e2e.lab import Lab, running_lab
from e2e.shop import STRUCTURED, Shop, envelope
from e2e.stack import CLONE, uses_running_stack
from e2e.tools import orderctl
from messaging.partitioner import partition_of

FLOOD: Final = 20_000
CHARGES: Final = "payment.commands.v1"
pytestmark = pytest.mark.not_in_containers(
    "the doctor's troubles are staged by signals, and its advice names devstack's verbs"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The stack to break."""
    if uses_running_stack():
        pytest.skip("a running stack is not ours to break (E2E_STACK=running)")
    home = Path(os.environ.get("E2E_HOME") or CLONE / ".devstack") / "e2e-doctor"
    with running_lab(home) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(lab: Lab) -> AsyncIterator[Shop]:
    """Its client."""
    await lab.payment_ready()
    async with Shop(lab.place) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sku(shop: Shop) -> str:
    """Enough of it for all."""
    return await shop.shelf(1000)


def facts(told: dict[str, Any]) -> str:
    return " -> ".join(link["fact"] for link in told["chain"])


def commands(told: dict[str, Any]) -> str:
    return "; ".join(advice["command"] or "" for advice in told["advice"])


async def held(lab: Lab, shop: Shop, sku: str, **data: Any) -> str:
    """An order that waits for approval. Where it does not come so far, nobody can say better why than the doctor."""
    order_id = await shop.start({sku: 1}, **data)
    try:
        await shop.saw(order_id, "stock-reserved")
    except AssertionError as error:
        raise AssertionError(f"{error}: {await lab.told('doctor', order_id)}") from error
    return order_id


async def approved(lab: Lab, shop: Shop, sku: str, **data: Any) -> str:
    """An order that has just been approved, so that payment owes the next answer."""
    order_id = await held(lab, shop, sku, **data)
    verdict = await shop.approve(order_id)
    assert verdict.short == "command-accepted", verdict.data
    return order_id


async def completes(shop: Shop, order_id: str) -> None:
    end = await shop.ended(order_id, 90)
    assert end.short == "order-completed", end.data


async def test_an_order_that_waits_for_its_approval_is_well_and_the_doctor_says_so(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku)
    told = await lab.told("doctor", order_id)
    assert (told["state"], told["cause"], told["exit_code"]) == ("waiting", "approval", 0), told
    assert told["could_not_ask"] == []
    await shop.approve(order_id)
    await completes(shop, order_id)
    told = await lab.told("doctor", order_id)
    assert (told["state"], told["exit_code"]) == ("ended", 0)
    assert (await lab.told("doctor", "NO-SUCH-ORDER"))["exit_code"] == 7


async def test_a_service_that_is_down_is_named_with_what_waits_for_it(lab: Lab, shop: Shop, sku: str) -> None:
    waiting = [await held(lab, shop, sku) for _ in range(2)]
    await lab.end_payment()
    assert [(await shop.approve(order_id)).short for order_id in waiting] == ["command-accepted"] * 2
    told = await lab.diagnosed(waiting[0], "service-down", "is not consumed")
    assert (told["subject"], told["exit_code"]) == ("payment", 8)
    assert "waits for payment" in facts(told)
    assert "payment does not run: nothing listens at" in facts(told)
    assert f"the command payment.charge.v1 at {CHARGES} {partition_of(waiting[0], 4)}/" in facts(told)
    assert f"the group stands at {CHARGES} {partition_of(waiting[0], 4)}/" in facts(told)
    assert commands(told).startswith("python -m devstack logs payment")
    stuck = await lab.told("stuck", "--older-than", "0s")
    (group,) = (found for found in stuck["items"] if found["cause"] == "service-down")
    assert {order["order_id"] for order in group["orders"]} == set(waiting)
    assert (group["subject"], stuck["exit_code"]) == ("payment", 8)
    services = await lab.told("services")
    assert [one["service"] for one in services["items"] if one["problem"]] == ["payment"]
    lab.start_payment()
    await asyncio.gather(*(completes(shop, order_id) for order_id in waiting))


async def test_wrong_settings_of_one_service_are_told_as_far_as_they_show(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = await held(lab, shop, sku)
    await lab.end_payment()
    await shop.approve(order_id)

    lab.start_payment(TOPIC_PARTITIONS="5")
    assert await lab.payment_ended() == 2
    told = await lab.diagnosed(order_id, "service-down")
    assert any("exit code 2" in advice["text"] and "4 partitions" in advice["text"] for advice in told["advice"])

    lab.start_payment(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    told = await lab.diagnosed(order_id, "other-broker")
    assert "it was given 127.0.0.1:1" in facts(told)
    assert lab.place.bootstrap in facts(told)
    await lab.end_payment()

    lab.start_payment(PAYMENT_DATABASE_URL="postgresql://payment@127.0.0.1:1/payment")
    told = await lab.diagnosed(order_id, "no-database")
    assert "PAYMENT_DATABASE_URL" in told["advice"][0]["text"]
    await lab.end_payment()

    lab.start_payment()
    await completes(shop, order_id)


async def test_a_service_that_hangs_is_told_from_one_that_is_down(lab: Lab, shop: Shop, sku: str) -> None:
    await lab.signal("inventory", signal.SIGSTOP)
    order_id = await shop.start({sku: 1}, workflow_version=1)
    told = await lab.diagnosed(order_id, "service-hangs")
    assert told["subject"] == "inventory"
    assert commands(told) == "python -m devstack restart inventory"
    await lab.signal("inventory", signal.SIGCONT)
    await shop.saw(order_id, "stock-reserved")
    await shop.cancel(order_id)


async def test_a_record_at_the_head_that_fails_again_and_again_is_named_with_its_error(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku)
    async with lab.database("payment") as payment:
        await payment.execute(
            f"""
            create function refuse() returns trigger language plpgsql as
                $$ begin raise exception 'no tablespace for this one'; end $$;
            create trigger refuse before insert on charge for each row when (new.order_id = '{order_id}')
                execute function refuse();
            """
        )
        await shop.approve(order_id)
        told = await lab.diagnosed(order_id, "poisoned-head")
        assert told["subject"] == "payment"
        assert f"payment stands still at {CHARGES} {partition_of(order_id, 4)}/" in facts(told)
        assert "no tablespace for this one" in facts(told)
        await payment.execute("drop trigger refuse on charge; drop function refuse()")
    await completes(shop, order_id)


async def test_a_gateway_that_does_not_answer_is_told_from_the_service_that_asks_it(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku)
    async with lab.locked("gateway", "gateway.charges"):
        await shop.approve(order_id)
        told = await lab.diagnosed(order_id, "gateway")
        assert "attempt" in facts(told)
        assert f"orderctl retry-now {order_id}" in commands(told)
    await completes(shop, order_id)


async def test_a_locked_database_shows_as_a_turn_that_does_not_end(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = await held(lab, shop, sku)
    async with lab.locked("payment", "charge"):
        await shop.approve(order_id)
        told = await lab.diagnosed(order_id, "database-locked")
        assert told["subject"] == "payment"
        assert "has been waiting for its database for" in facts(told)
        assert "pg_blocking_pids" in commands(told)
    await completes(shop, order_id)


async def test_when_the_orders_service_stands_a_deadline_that_passed_is_told_with_it(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku, approval_timeout_s=5)
    await lab.signal("orders", signal.SIGSTOP)
    try:
        told = await lab.diagnosed(order_id, "service-hangs", "its deadline has passed")
        assert told["subject"] == "orders"
        assert commands(told) == "python -m devstack restart orders"
    finally:
        await lab.signal("orders", signal.SIGCONT)
    assert (await shop.ended(order_id)).data["reason"] == "approval-timeout"


async def test_a_timer_that_is_gone_is_set_again_by_the_advised_verbs(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = await held(lab, shop, sku, approval_timeout_s=8)
    async with lab.database("orders") as orders:
        await orders.execute("delete from timer where key = $1", order_id)
    told = await lab.diagnosed(order_id, "timer-lost")
    assert "its timer has not fired" in facts(told)
    for advice in told["advice"]:
        arguments = advice["command"].replace("TEXT", "the-timer-is-gone").split()[1:]
        done = await orderctl(lab.place, *arguments)
        assert done.returncode == 0, done.output
    assert (await shop.ended(order_id)).data["reason"] == "approval-timeout"


async def test_a_refund_that_keeps_failing_is_told_with_its_answer_and_its_next_attempt(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await approved(lab, shop, sku, payment_method="pm_refund_fails")
    await shop.cancel(order_id)
    await shop.saw(order_id, "attention-needed")
    # It would work the fourth time: as long as somebody holds the table, it does not.
    async with lab.locked("gateway", "gateway.refunds", "share"):
        told = await lab.diagnosed(order_id, "refund-failing")
        assert "orders that need a person" in facts(told)
        assert f"orderctl retry-now {order_id}" in commands(told)
        assert f"orderctl resolve-attention {order_id} --resolution settled" in commands(told)
        stuck = await lab.told("stuck")
        assert ("refund-failing", [order_id]) in [
            (group["cause"], [order["order_id"] for order in group["orders"]]) for group in stuck["items"]
        ]
    assert (await shop.ended(order_id, 90)).short == "order-cancelled"


async def test_an_outbox_that_the_broker_does_not_take_is_named_with_its_refusal(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku)
    await lab.set_topic("payment.events.v1", max_message_bytes="10")
    await shop.approve(order_id)
    told = await lab.diagnosed(order_id, "outbox-stuck")
    assert told["subject"] == "payment"
    assert "the outbox of payment does not empty" in facts(told)
    assert "MessageSizeTooLarge" in facts(told)
    await lab.set_topic("payment.events.v1")
    await completes(shop, order_id)


async def test_a_service_that_is_behind_is_told_with_how_many_come_first(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = shop.new_id("order")
    partition = partition_of(order_id, 4)
    crowd = next(key for n in range(100) if partition_of(key := f"crowd-{shop.run}-{n}", 4) == partition)
    await lab.signal("inventory", signal.SIGSTOP)
    more = {"sku": crowd, "quantity": 1, "unit_price_minor": 1}
    told = (envelope("inventory.receive-stock.v1", crowd, more, f"{crowd}-{n}") for n in range(FLOOD))
    sent = [
        await shop._producer.send(
            "inventory.commands.v1", json.dumps(one).encode(), key=crowd.encode(), headers=STRUCTURED
        )
        for one in told
    ]
    await asyncio.gather(*sent)
    await shop.start({sku: 1}, order_id=order_id, workflow_version=1)
    # A fast machine would have caught up before anybody has looked twice.
    async with lab.slow("inventory", "shop_command", 0.3):
        await lab.signal("inventory", signal.SIGCONT)
        seen = await lab.diagnosed(order_id, "behind")
    assert (seen["state"], seen["subject"], seen["exit_code"]) == ("behind", "inventory", 8)
    assert "records come first" in facts(seen)
    await shop.saw(order_id, "stock-reserved", 90)
    await shop.cancel(order_id)


async def test_a_paused_order_is_told_with_who_paused_it(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = await held(lab, shop, sku)
    done = await orderctl(lab.place, "pause", order_id, "--operator", "m.brown", "--reason", "stock-count")
    assert done.returncode == 0, done.output
    told = await lab.told("doctor", order_id)
    assert (told["cause"], told["exit_code"]) == ("paused", 8)
    assert "m.brown paused it" in facts(told)
    assert f"orderctl resume {order_id}" in commands(told)
    assert (await orderctl(lab.place, "resume", order_id, "--reason", "counted")).returncode == 0
    await shop.cancel(order_id)


async def test_a_record_that_was_set_aside_is_named_and_the_advised_replay_heals_it(
    lab: Lab, shop: Shop, sku: str
) -> None:
    order_id = await held(lab, shop, sku)
    async with lab.database("payment") as payment:
        await payment.execute(f"alter table charge add constraint not_it check (order_id <> '{order_id}') not valid")
        await shop.approve(order_id)
        told = await lab.diagnosed(order_id, "parked")
        await payment.execute("alter table charge drop constraint not_it")
    assert f"payment could not handle the record at {CHARGES} {partition_of(order_id, 4)}/" in facts(told)
    replay = told["advice"][0]["command"]
    assert replay.startswith(f"orderctl dlq replay payment/{CHARGES}/{partition_of(order_id, 4)}/")
    done = await orderctl(lab.place, *replay.split()[1:], "--reason", "mended")
    assert done.returncode == 0, done.output
    await completes(shop, order_id)


async def test_a_missing_topic_is_named_and_the_advised_verb_brings_it_back(lab: Lab, shop: Shop, sku: str) -> None:
    order_id = await held(lab, shop, sku)
    async with lab.admin() as admin:
        await admin.delete_topics(["payment.events.v1"])
    # Its verdict may have to wait as well: who reads the topic does not get on with the others.
    await shop.send("orders.approve-payment.v1", order_id, {"approved_by": "e2e"})
    told = await lab.diagnosed(order_id, "topic-missing")
    assert "the broker has no topic payment.events.v1" in facts(told)
    assert commands(told) == "python -m devstack topics"
    await lab.devstack_cli("topics")
    await completes(shop, order_id)
