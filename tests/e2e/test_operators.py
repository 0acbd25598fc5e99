"""Operators: what a command would do is what it does; a cancel by name; evidence; one command to many orders."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from e2e.journal import Event
from e2e.shop import STRUCTURED, Shop, envelope
from e2e.stack import CLONE
from e2e.tools import Done, orderctl

BY = {"operator": "night-shift", "reason": "ticket 4711"}
FLAGS = ("--operator", "night-shift", "--reason", "ticket 4711")
MANY = 12


async def operate(shop: Shop, verb: str, order_id: str, **data: str) -> Event:
    """The verdict on an operator's command."""
    command_id = shop.new_id("operation")
    value = json.dumps(envelope(f"orders.{verb}.v1", order_id, {**BY, **data}, command_id)).encode()
    await shop.put("orders.operations.v1", order_id.encode(), value, STRUCTURED)
    return await shop.verdict(command_id)


async def plan(shop: Shop, verb: str, order_id: str, *flags: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a dry run, and its answer."""
    done = await orderctl(shop.place, verb, order_id, *flags, "--dry-run", "--json")
    assert done.stdout, done.output
    return done.returncode, json.loads(done.stdout)


def events_of(steps: list[dict[str, Any]]) -> list[str]:
    """The orders' own events among the steps, without the verdict."""
    names = [step["type"].split(".")[1] for step in steps if step["topic"] == "orders.events.v1"]
    return [name for name in names if not name.startswith("command-")]


async def test_an_operator_s_cancel_does_what_its_dry_run_told_and_stands_in_the_history(shop: Shop) -> None:
    sku = await shop.shelf(5, 100)
    order_id = await shop.held({sku: 2})
    before = await shop.history(order_id)
    code, foreseen = await plan(shop, "cancel", order_id, *FLAGS)
    assert (code, foreseen["verdict"]["accepted"]) == (0, True)
    assert (foreseen["money"], foreseen["stock"]) == ([], [{"kind": "release", "sku": sku, "quantity": 2}])
    assert len(await shop.history(order_id)) == len(before), "a dry run leaves no trace"
    told_before = len(shop.kinds(order_id))
    done = await orderctl(shop.place, "cancel", order_id, *FLAGS)
    assert done.returncode == 0, done.output
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"]) == ("order-cancelled", foreseen["outcome"]["reason"])
    told = [kind for kind in shop.kinds(order_id)[told_before:] if not kind.startswith("command-")]
    assert told == events_of([*foreseen["steps"], *foreseen["then"]])
    notes = [entry for entry in await shop.history(order_id) if entry["type"] == "orders.cancelled-by-operator"]
    assert [note["data"] for note in notes] == [BY]
    await shop.stock_settles(sku, on_hand=5, held=0)


async def test_an_approval_is_foreseen_to_the_penny(shop: Shop) -> None:
    sku = await shop.shelf(5, 100)
    order_id = await shop.held({sku: 3})
    code, foreseen = await plan(shop, "approve", order_id)
    assert code == 0
    assert foreseen["money"] == [{"kind": "charge", "amount_minor": 300, "currency": "GBP"}]
    assert foreseen["stock"] == [{"kind": "ship", "sku": sku, "quantity": 3}]
    await shop.approve(order_id)
    await shop.ended(order_id)
    assert [entry["amount_minor"] for entry in await shop.entries(order_id)] == [300]
    assert (await shop.order(order_id))["status"] == foreseen["outcome"]["status"]


async def test_what_a_dry_run_would_refuse_is_refused_for_the_same_reason(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    for verb in ("resume", "retry-now"):
        code, foreseen = await plan(shop, verb, order_id, *FLAGS)
        done = await orderctl(shop.place, verb, order_id, *FLAGS, "--json")
        assert code == done.returncode == 5
        assert foreseen["verdict"]["reason"] == json.loads(done.stdout)["reason"] == "not-allowed"
    code, foreseen = await plan(shop, "cancel", shop.new_id("no-such-order"))
    assert (code, foreseen["verdict"]["reason"], foreseen["outcome"]) == (5, "unknown-order", None)
    await shop.cancel(order_id)
    await shop.ended(order_id)
    code, foreseen = await plan(shop, "cancel", order_id, *FLAGS)
    assert (code, foreseen["verdict"]["reason"]) == (5, "too-late")
    status, kind, _ = await shop.get("orders-api", f"/orders/{order_id}/plan")
    assert (status, kind) == (405, "application/problem+json")


async def test_the_evidence_of_a_resolution_stands_in_the_history(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    await shop.cancel(order_id)
    await shop.saw(order_id, "attention-needed")
    verdict = await operate(shop, "resolve-attention", order_id, resolution="retry", evidence="BANK-4711")
    assert verdict.short == "command-accepted", verdict.data
    assert (await shop.ended(order_id)).short == "order-cancelled"
    facts = [e["data"] for e in await shop.history(order_id) if e["type"] == "orders.evidence-given"]
    assert facts == [{"operator": "night-shift", "resolution": "retry", "evidence": "BANK-4711"}]


async def test_an_order_stands_still_and_goes_on_and_what_failed_is_tried_at_once_all_by_name(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")
    assert (await operate(shop, "pause-order", order_id)).short == "command-accepted"
    assert (await operate(shop, "pause-order", order_id)).data["duplicate"]
    order = await shop.order(order_id)
    assert (order["paused"], order["waiting_for"], order["deadline"]) == (True, "operator", None)
    assert (await operate(shop, "resume-order", order_id)).short == "command-accepted"
    assert (await operate(shop, "resume-order", order_id)).data["reason"] == "not-allowed"
    await shop.approve(order_id)
    await shop.cancel(order_id)
    await shop.saw(order_id, "attention-needed")
    assert (await operate(shop, "retry-now", order_id)).short == "command-accepted"
    assert (await shop.ended(order_id)).short == "order-cancelled"
    named = ("orders.order-paused.v1", "orders.order-resumed.v1", "orders.retried-now")
    acts = {e["type"]: e["data"] for e in await shop.history(order_id) if e["type"] in named}
    assert {name: (data["operator"], data["reason"]) for name, data in acts.items()} == dict.fromkeys(
        named, ("night-shift", "ticket 4711")
    )


# --- many orders ------------------------------------------------------------------------------------------------------


async def waiting(shop: Shop) -> tuple[str, str, list[str]]:
    """A customer, a SKU, and that customer's orders, which wait for approval."""
    customer, sku = await shop.customer(), await shop.shelf(MANY * 2)
    orders = await asyncio.gather(*(shop.held({sku: 1}, customer_id=customer) for _ in range(MANY)))
    return customer, sku, list(orders)


def receipts_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines[1:]]


async def test_many_orders_are_cancelled_once_each_with_a_receipt(shop: Shop, tmp_path: Path) -> None:
    customer, sku, orders = await waiting(shop)
    path = tmp_path / "run.jsonl"
    said = ("bulk", "cancel", "--customer", customer, *FLAGS)
    dry = await orderctl(shop.place, *said, "--dry-run", "--json")
    sums = json.loads(dry.stdout)
    assert (dry.returncode, sums["orders"], sums["accepted"]) == (0, MANY, MANY)
    assert sums["stock"] == [{"kind": "release", "sku": sku, "quantity": MANY}]
    run = (*said, "--yes", "--rate", "100", "--receipts", str(path), "--json")
    first = await orderctl(shop.place, *run)
    assert first.returncode == 0, first.output
    receipts = receipts_in(path)
    assert sorted(receipt["order_id"] for receipt in receipts) == sorted(orders)
    assert {(receipt["verdict"], receipt["duplicate"]) for receipt in receipts} == {("accepted", False)}
    for order_id in orders:
        assert (await shop.ended(order_id)).short == "order-cancelled"
    again = await orderctl(shop.place, *run)
    assert (again.returncode, json.loads(again.stdout)["before"]) == (0, MANY)
    assert receipts_in(path) == receipts
    for receipt in receipts:
        heard = shop.journal.by_command[receipt["command_id"]]
        assert len({event.id for event in heard}) == 1, "it was sent once"
    await shop.stock_settles(sku, on_hand=MANY * 2, held=0)


async def test_an_interrupted_run_goes_on_where_it_stopped(shop: Shop, tmp_path: Path) -> None:
    customer, _, orders = await waiting(shop)
    path = tmp_path / "run.jsonl"
    said = ("bulk", "pause", "--customer", customer, *FLAGS, "--yes", "--receipts", str(path), "--json")
    stopped = await interrupted(shop, path, *said, "--rate", "4")
    assert stopped.returncode == 130, stopped.output
    assert str(path) in stopped.stderr.replace("\n", "")
    done = len(receipts_in(path))
    assert 0 < done < MANY
    late = await shop.held({await shop.shelf(1): 1}, customer_id=customer)
    rest = await orderctl(shop.place, *said, "--rate", "100")
    assert rest.returncode == 0, rest.output
    assert json.loads(rest.stdout)["before"] == done
    assert sorted(receipt["order_id"] for receipt in receipts_in(path)) == sorted(orders)
    assert {receipt["duplicate"] for receipt in receipts_in(path)} == {False}
    for order_id in orders:
        await shop.saw(order_id, "order-paused")  # what orderctl has heard, the journal may be about to read
        assert shop.kinds(order_id).count("order-paused") == 1
    assert not (await shop.order(late))["paused"], "it was not among those that were confirmed"
    for order_id in (*orders, late):
        await shop.cancel(order_id)
        await operate(shop, "resume-order", order_id)
        await shop.ended(order_id)


async def interrupted(shop: Shop, path: Path, *arguments: str) -> Done:
    """The client, interrupted by Ctrl-C once it has some receipts."""
    argv = [sys.executable, "-m", "orderctl", *arguments]
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*argv, cwd=CLONE, env=shop.place.env, **pipes)

    async def some() -> bool | None:
        return len(receipts_in(path)) > 1 or None

    await shop.eventually(some, "some receipts")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(180):
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_orders_named_in_a_file_that_have_ended_get_their_refusal_as_a_receipt(
    shop: Shop, tmp_path: Path
) -> None:
    sku = await shop.shelf(3)
    ended, open_order = (await shop.buy({sku: 1})).key, await shop.held({sku: 1})
    ids, path = tmp_path / "ids", tmp_path / "run.jsonl"
    ids.write_text(f"# from the ticket\n{ended}\n{open_order}\n")
    said = ("bulk", "cancel", "--ids", str(ids), *FLAGS, "--yes", "--receipts", str(path))
    done = await orderctl(shop.place, *said)
    assert done.returncode == 5, done.output
    told = {receipt["order_id"]: (receipt["verdict"], receipt["reason"]) for receipt in receipts_in(path)}
    assert told == {ended: ("rejected", "too-late"), open_order: ("accepted", None)}
    assert (await shop.ended(open_order)).short == "order-cancelled"


async def test_the_list_can_be_asked_for_what_is_older_than_a_moment(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.shelf(2)
    first, second = [await shop.held({sku: 1}, customer_id=customer) for _ in range(2)]
    made = (await shop.order(second))["created_at"]
    older = await shop.read("orders-api", "/orders", customer=customer, created_before=made)
    assert [order["order_id"] for order in older["items"]] == [first]
    status, kind, body = await shop.get("orders-api", "/orders", created_before="yesterday")
    assert (status, kind) == (400, "application/problem+json")
    assert b"created_before" in body
    for order_id in (first, second):
        await shop.cancel(order_id)
        await shop.ended(order_id)
