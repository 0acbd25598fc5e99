"""The audit on a real stack of its own: it finds nothing where nothing is wrong, and each thing that is spoilt by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from waiting import until

from audit.errors import CouldNotLookError
from audit.rules import Terms
from audit.run import Report, Settings, audit, load_settings
from contracts.customer import RegisterCustomer
from contracts.envelope import encode, headers_for
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, CancelOrder, StartOrder
from contracts.registry import TYPE_OF
from contracts.topics import ORDERS_EVENTS
from contracts.values import CommandData, Item
from devstack.ports import free_offset
from devstack.stack import Stack
from messaging.clients import make_producer
from messaging.partitioner import partition_of

DEADLINE_S = 90.0
SETTLE_S = 60.0
ENDED = "SELECT count(*) FROM orders WHERE status IN ('COMPLETED', 'CANCELLED', 'FAILED')"


@dataclass
class Shop:
    """A stack, and what its client wrote down."""

    settings: Settings
    record: Path
    lines: list[dict[str, object]] = field(default_factory=list)

    async def send(self, *commands: tuple[str, CommandData]) -> None:
        """Send these, and write it down."""
        producer = make_producer(self.settings.bootstrap_servers, "audit-test")
        await producer.start()
        for key, data in commands:
            topic, kind = TYPE_OF[type(data)]
            command_id = f"t{len(self.lines)}"
            now = datetime.now(UTC)
            value = encode(id=command_id, source="test", type=kind, subject=key, data=data, time=now, correlationid=key)
            await producer.send_and_wait(topic, key=key.encode(), value=value, headers=headers_for(kind))
            self.lines.append({"command_id": command_id, "key": key, "type": kind, "source": "test", "topic": topic})
        await producer.stop()
        self.record.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    async def fetchval(self, database: str, query: str) -> object:
        connection = await asyncpg.connect(*self.settings.databases[database])
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def execute(self, database: str, *statements: str) -> None:
        """Each statement must change something."""
        connection = await asyncpg.connect(*self.settings.databases[database])
        try:
            for statement in statements:
                assert not (await connection.execute(statement)).endswith(" 0"), statement
        finally:
            await connection.close()

    async def eventually(self, database: str, query: str, expected: object) -> None:
        async def so() -> bool:
            return await self.fetchval(database, query) == expected

        await until(so, f"{query}: {expected}", DEADLINE_S)

    async def audit(self, settle_timeout_s: float = SETTLE_S, **terms: float) -> Report:
        return await audit(self.settings, Terms(**terms), settle_timeout_s, [self.record])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    found = Stack(home=tmp_path_factory.mktemp("audit") / "home", offset=free_offset())
    try:
        found.up()
        yield found
    finally:
        found.down(wipe=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """Twenty orders that completed, one each that was cancelled, failed, and waits for its approval."""
    shop = Shop(load_settings(stack.environment()), tmp_path_factory.mktemp("record") / "sent.jsonl")
    await shop.send(
        ("A", ReceiveStock(sku="A", quantity=1_000, unit_price_minor=250)),
        ("k1", RegisterCustomer(customer_id="k1", name="Somebody", email="somebody@example.com")),
    )
    await shop.eventually("inventory", "SELECT received FROM stock WHERE sku = 'A'", 1_000)
    for name in [f"done-{n:02}" for n in range(20)] + ["cancelled", "failed", "waiting"]:
        method = "pm_card_declined" if name == "failed" else "pm_card_visa"
        wanted = (Item(sku="A", quantity=2),)
        start = StartOrder(customer_id="k1", items=wanted, payment_method=method, workflow_version=1)
        await shop.send((name, start))
        if name == "cancelled":
            await shop.send((name, CancelOrder(reason="no more")))
        elif name != "waiting":
            await shop.send((name, ApprovePayment(approved_by="me")))
    await shop.eventually("orders", ENDED, 22)
    yield shop


def by_subject(report: Report) -> Mapping[str, set[str]]:
    found = defaultdict(set)
    for breach in report.breaches:
        found[breach.subject].add(breach.rule)
    return dict(found)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nothing_is_found_where_nothing_is_wrong(shop: Shop) -> None:
    report = await shop.audit()
    assert (report.breaches, report.restless, report.not_judged) == ([], (), 0)
    assert report.statuses == {"AWAITING_APPROVAL": 1, "CANCELLED": 1, "COMPLETED": 20, "FAILED": 1}
    assert report.exit_code == 0
    (money,) = report.money or ()
    assert (money.completed_minor, money.gateway_charged_minor) == (10_000, 10_000)
    assert report.sent == len(shop.lines)
    assert report.applied["every-shop-command-answered"] == 2


async def test_an_open_order_is_found_where_none_is_expected(shop: Shop) -> None:
    assert by_subject(await shop.audit(expect_ended=True)) == {"waiting": {"everything-has-ended"}}


async def test_what_is_stuck_is_found_though_the_system_never_comes_to_rest(shop: Shop) -> None:
    # A partition that nobody owns, so that nobody works it off.
    await shop.execute(
        "payment",
        "INSERT INTO partition_ownership (partition) VALUES (99)",
        """INSERT INTO outbox (partition, seq, target, topic, type, created_at)
           VALUES (99, 1, 0, 'payment.events.v1', 'payment.refunded.v1', now() - interval '1 minute')""",
        "INSERT INTO timer VALUES (99, 'done-00', 'return', 1, now() - interval '1 minute')",
        "INSERT INTO effect VALUES (99, 'f', 'done-00', 'refund', '{}', now() - interval '1 minute')",
    )
    report = await shop.audit(settle_timeout_s=0.2)
    assert by_subject(report) == {"payment/99": {"outbox-is-drained", "no-timer-is-overdue", "no-effect-is-overdue"}}
    assert report.restless
    assert report.not_judged == 1, "the order that waits had not ended before"
    assert report.money is None
    assert (await shop.audit(settle_timeout_s=0.2, grace_s=120.0)).breaches == []
    tables = ("outbox", "timer", "effect", "partition_ownership")
    await shop.execute("payment", *(f"DELETE FROM {table} WHERE partition = 99" for table in tables))
    assert (await shop.audit()).breaches == []


async def test_a_lost_command_of_the_senders_is_found(shop: Shop, tmp_path: Path) -> None:
    line = {"command_id": "never", "key": "nowhere", "type": "orders.start-order.v1", "source": "test"}
    record = tmp_path / "lost.jsonl"
    record.write_text(json.dumps(line) + "\n")
    report = await audit(shop.settings, Terms(), SETTLE_S, [record])
    assert by_subject(report) == {"nowhere": {"every-sent-command-known"}}


async def test_a_database_that_is_not_there_is_no_finding(shop: Shop) -> None:
    elsewhere = {**shop.settings.databases, "inventory": ("postgresql:///inventory?host=/nowhere",)}
    with pytest.raises(CouldNotLookError, match="INVENTORY_DATABASE_URL"):
        await audit(Settings(shop.settings.bootstrap_servers, elsewhere), Terms(), SETTLE_S)


async def test_a_broker_that_is_not_there_is_no_finding(shop: Shop) -> None:
    with pytest.raises(CouldNotLookError, match="KAFKA_BOOTSTRAP_SERVERS"):
        await audit(Settings("127.0.0.1:1", shop.settings.databases), Terms(), SETTLE_S)


CHARGE_TWICE = """
INSERT INTO gateway.charges
SELECT charge_id || 'x', order_id, amount_minor, currency, payment_method, state, lands_at, calls, 0, 1
FROM gateway.charges WHERE order_id = '{o}'
"""

#: What is spoilt of which order, and the rule that finds it. `{o}` is the order.
SPOILT: list[tuple[str, str, tuple[str, ...], set[str]]] = [
    (
        "done-00",
        "orders",
        ("UPDATE orders SET status = 'CANCELLED' WHERE order_id = '{o}'",),
        {"history-folds-to-state", "order-is-paid", "shipped-exactly", "completed-orders-count"},
    ),
    (
        "done-01",
        "orders",
        ("DELETE FROM history WHERE order_id = '{o}' AND type LIKE '%captured%'",),
        {"published-is-recorded"},
    ),
    (
        "done-02",
        "orders",
        ("UPDATE history SET event_id = 'lost' WHERE order_id = '{o}' AND type LIKE '%captured%'",),
        {"history-is-published", "published-is-recorded"},
    ),
    (
        "done-03",
        "orders",
        ("UPDATE command SET accepted = NULL WHERE order_id = '{o}' AND type LIKE '%approve%'",),
        {"every-command-decided", "every-verdict-told", "every-sent-command-known"},
    ),
    (
        "done-04",
        "orders",
        ("INSERT INTO timer VALUES (0, '{o}', 'order', 0, now() + interval '1 day')",),
        {"deadline-while-open"},
    ),
    ("done-05", "gateway", ("DELETE FROM gateway.charges WHERE order_id = '{o}'",), {"gateway-agrees"}),
    ("done-06", "gateway", (CHARGE_TWICE,), {"charged-once", "gateway-agrees"}),
    (
        "done-07",
        "payment",
        ("UPDATE charge SET refunded_minor = 100 WHERE order_id = '{o}'",),
        {"refunds-within-captures", "order-is-paid", "gateway-agrees"},
    ),
    (
        "done-08",
        "payment",
        ("DELETE FROM charge WHERE order_id = '{o}'",),
        {"order-is-paid", "gateway-agrees", "told-money-moved"},
    ),
    (
        "done-09",
        "inventory",
        (
            "UPDATE reservation SET state = 'released' WHERE order_id = '{o}'",
            "UPDATE stock SET shipped = shipped - 2 WHERE sku = 'A'",
        ),
        {"shipped-exactly"},
    ),
    (
        "done-10",
        "notification",
        ("UPDATE mail SET kind = 'cancellation' WHERE order_id = '{o}'",),
        {"one-mail-per-cause"},
    ),
    (
        "done-11",
        "orders",
        ("UPDATE orders SET total_minor = 501 WHERE order_id = '{o}'",),
        {"history-folds-to-state", "total-is-sum-of-lines", "order-is-paid"},
    ),
    (
        "done-12",
        "orders",
        ("UPDATE orders SET workflow_version = 2 WHERE order_id = '{o}'",),
        {"history-folds-to-state", "enriched-before-reserved"},
    ),
    (
        "done-13",
        "orders",
        (
            "UPDATE history SET data = jsonb_set(data::jsonb, '{{amount_minor}}', '1')::json"
            " WHERE order_id = '{o}' AND type LIKE '%captured%'",
        ),
        {"told-money-moved"},
    ),
    ("done-14", "customer", ("DELETE FROM counted_order WHERE order_id = '{o}'",), {"completed-orders-count"}),
    (
        "done-15",
        "orders",
        (
            "UPDATE history SET data = jsonb_set(data::jsonb, '{{command_type}}', '\"orders.pause-order.v1\"')::json"
            " WHERE order_id = '{o}' AND data::jsonb ->> 'command_type' LIKE '%approve%'",
        ),
        {"operators-are-named"},
    ),
    (
        "done-16",
        "orders",
        ("UPDATE orders SET workflow = 'greet' WHERE order_id = '{o}'",),
        {"history-folds-to-state", "a-greeting-is-a-greeting"},
    ),
    (
        "cancelled",
        "inventory",
        (
            "UPDATE reservation SET state = 'held' WHERE order_id = '{o}'",
            "UPDATE stock SET held = held + 2 WHERE sku = 'A'",
        ),
        {"no-hold-after-end"},
    ),
    (
        "waiting",
        "inventory",
        (
            "UPDATE reservation SET state = 'released' WHERE order_id = '{o}'",
            "UPDATE stock SET held = held - 2 WHERE sku = 'A'",
        ),
        {"held-exactly"},
    ),
]


async def test_each_thing_that_is_spoilt_by_hand_is_found_by_the_right_rules(shop: Shop) -> None:
    for order_id, database, statements, _ in SPOILT:
        await shop.execute(database, *(statement.format(o=order_id) for statement in statements))
    report = await shop.audit()
    found = dict(by_subject(report))
    assert found.pop("GBP") == {"money-adds-up"}
    assert found.pop("k1") == {"tiers-add-up"}
    assert found == {order_id: rules for order_id, _, _, rules in SPOILT}
    assert report.exit_code == 1


async def test_what_is_spoilt_in_the_stock_and_on_the_topic_is_found_too(shop: Shop) -> None:
    before = by_subject(await shop.audit())
    await shop.execute(
        "inventory",
        "UPDATE stock SET received = received + 7, held = held + 3, shipped = shipped + 1 WHERE sku = 'A'",
        "INSERT INTO irregularity VALUES ('failed', 'r', 'shipping-not-held', 'released', 'm', now())",
    )
    await shop.execute(
        "customer",
        "INSERT INTO customer (customer_id, name, email, registered_at, updated_at, erased_at)"
        " VALUES ('gone', 'Somebody', '', now(), now(), now())",
    )
    await shop.execute(
        "notification", "INSERT INTO contact (customer_id, name, email, registered_at) VALUES ('gone', 'x', 'y', now())"
    )
    await shop.execute(
        "payment",
        "INSERT INTO partition_ownership (partition) VALUES (98)",
        """INSERT INTO parked (partition, place, key, topic, "offset", headers, appended_at, state, failures, error)
           VALUES (98, 1, 'nobody', 'payment.commands.v1', 7, '[]', now(), 'failed', 1, 'ValueError')""",
        """INSERT INTO letter_done (topic, partition, "offset", act, outcome, operator, reason)
           VALUES ('payment.commands.v1', 98, 7, 'discard', 'discarded', 'me', 'why not')""",
    )
    producer = make_producer(shop.settings.bootstrap_servers, "audit-test")
    await producer.start()
    rubbish = await producer.send_and_wait(ORDERS_EVENTS, key=b"x", value=b"{", partition=partition_of("x", 4))
    await producer.stop()
    found = {subject: rules for subject, rules in by_subject(await shop.audit()).items() if subject not in before}
    assert found == {
        "A": {"held-matches-reservations", "shipped-matches-reservations", "receipts-are-answered"},
        "failed": {"nothing-irregular"},
        "gone": {"erased-is-gone"},
        "payment/98": {"lanes-can-be-opened"},
        f"{ORDERS_EVENTS}/{rubbish.partition}/{rubbish.offset}": {"every-topic-record-is-an-event"},
    }
