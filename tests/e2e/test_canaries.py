"""A stack of its own whose customers, payments and commands are canaries: whatever goes wrong, none is heard in any log file."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import canaries
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from metric_labels import strangers
from waiting import until

from contracts.ports import HTTP_PORTS
from contracts.topics import EVENT_TOPICS, ORDERS_COMMANDS, RECOMMENDATION_PAIRS, dead_letter_topics
from e2e.collector import Collector, Told, collecting
from e2e.compose import ComposeStack
from e2e.conftest import make_stack, run_stack, uses_containers
from e2e.shop import Shop, envelope, order_data
from e2e.stack import CLONE, SERVICES, Place, Stack, uses_running_stack
from e2e.tools import orderctl
from messaging.clients import make_reader

CUSTOMER: Final = "nora"
FACES: Final = ("at", "level", "event", "logger", "service", "identity")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where that stack's traces go."""
    with collecting("0.0.0.0" if uses_containers() else "127.0.0.1") as found:
        yield found


@pytest.fixture(scope="module")
def canary_stack(collector: Collector) -> Stack | ComposeStack:
    if uses_running_stack():
        pytest.skip("the running stack is not ours to break (E2E_STACK=running)")
    host = "host.docker.internal" if uses_containers() else "127.0.0.1"
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{collector.port}"}
    # Five charges in a row, which are the default, fail at that rate for one order in 400.
    charge = {"ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS": "15"}
    loud = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "PAYMENT_FAILURE_RATE": "0.3", **charge}
    # In containers the password really opens the databases.
    return make_stack("canaries", **loud, **traced, DATABASE_PASSWORD=canaries.PASSWORD)


@pytest.fixture(scope="module")
def canary_place(canary_stack: Stack | ComposeStack, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where that stack is."""
    yield from run_stack(canary_stack, request)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def canary_shop(canary_place: Place) -> AsyncIterator[Shop]:
    async with Shop(canary_place) as client:
        yield client


@pytest.mark.slow
async def test_no_canary_is_heard_in_any_log_or_trace_of_a_stack_in_which_everything_goes_wrong(
    canary_stack: Stack | ComposeStack, canary_shop: Shop, collector: Collector
) -> None:
    shop = canary_shop
    sku = shop.new_id("sku")
    await shop.receive(sku, 1000, unit_price_minor=500, description=canaries.DESCRIPTION)
    person = {"customer_id": CUSTOMER, "name": canaries.NAME, "email": canaries.EMAIL}
    await shop.ask("customer.register-customer.v1", CUSTOMER, person)
    await _say_garbage(shop)
    orders = [await _order(shop, sku, number) for number in range(8)]
    for process in ("smtp-sink", "notification", "postgres", "payment"):
        await canary_stack.kill(process)
        orders += [await _order(shop, sku, number) for number in range(4)]
    await canary_stack.wait_ready()

    async def a_mail_has_failed() -> bool:
        # Whether one is being sent in the moment in which the sink dies is chance.
        await canary_stack.kill("smtp-sink")
        orders.append(await _order(shop, sku, 0))
        await shop.ended(orders[-1], timeout_s=180)
        return '"mail-not-sent"' in canary_stack.log("notification")

    await until(a_mail_has_failed, "a mail could not be sent", 300)
    await canary_stack.wait_ready()
    for one in orders:
        await shop.ended(one, timeout_s=180)
    await _ask_rudely(shop)
    typed = ("--verbose", "register-customer", CUSTOMER, "--name", canaries.NAME, "--email", canaries.EMAIL)
    told = await orderctl(shop.place, *typed)
    assert canaries.singing(told.stderr.splitlines()) == []
    lines = _lines(canary_stack)
    assert canaries.singing(lines) == []
    # The console has made its first account, whose password nobody can put a canary into.
    assert not any("one-time password" in line for line in lines)
    assert len(collector.spans) > 100
    assert canaries.singing([span.text for span in collector.spans]) == []
    events = {json.loads(line)["event"] for line in lines if line.startswith("{")}
    assert events >= {"started", "owns-partitions", "dead-letter", "partition-stands-still", "mail-not-sent"}


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
async def test_no_canary_and_no_id_is_told_as_a_metric_and_no_secret_by_whoever_is_asked_how_it_is(
    canary_shop: Shop, service: str
) -> None:
    """After all that went wrong above."""
    told = (await canary_shop.get(service, "/metrics"))[2].decode()
    assert told
    assert canaries.singing(told.splitlines()) == []
    assert list(strangers(told)) == []
    for path in ("/healthz", "/readyz", "/progress", "/lanes", f"/{canaries.SONG}"):
        assert canaries.PASSWORD not in (await canary_shop.get(service, path))[2].decode(), path


@pytest.mark.slow
async def test_a_dead_letter_adds_no_secret_and_none_of_the_words_to_what_came(canary_shop: Shop) -> None:
    """What came stays as it came, canaries and all: it is to be sent again."""
    topics = set()
    for record in await _everything_on(canary_shop.place, sorted({topic for topic, _ in dead_letter_topics()})):
        facts = {name: value for name, value in record.headers if name.startswith("dlq-")}
        assert canaries.singing([value.decode() for value in facts.values()]) == []
        parts = (record.key, record.value, *(value for _, value in record.headers))
        assert not any(canaries.PASSWORD.encode() in (part or b"") for part in parts)
        topics.add(record.topic)
    assert topics >= {"orders.commands.v1.orders.dlq", "orders.events.v1.inventory.dlq"}


async def _everything_on(place: Place, topics: list[str]) -> list[Any]:
    """All records of these topics."""
    consumer = make_reader(place.bootstrap, "e2e-canaries")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(place.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        wanted, found = sum(ends.values()), list[Any]()
        async with asyncio.timeout(60):
            while len(found) < wanted:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


@pytest.mark.slow
async def test_a_whole_order_is_one_tree_of_spans_across_all_services(canary_shop: Shop, collector: Collector) -> None:
    shop = canary_shop
    sku = shop.new_id("sku")
    await shop.receive(sku, 5, unit_price_minor=500)
    one = await shop.start({sku: 1})
    await shop.approve(one)
    assert (await shop.ended(one, timeout_s=180)).short == "order-completed"

    # These two ask and show; nothing of an order passes through them.
    services = set(HTTP_PORTS) - {"orders-api", "console"}

    async def whole() -> dict[str, Told] | None:
        """All of it, once each process has sent what it had: nothing hangs in the air then."""
        spans = {span.span: span for span in collector.of_key(one)}
        wanted = {"order", "effect charge", "effect send-mail", "publish orders.order-completed.v1"}
        there = wanted <= {span.name for span in spans.values()} and services <= {s.service for s in spans.values()}
        return spans if there and all(not s.parent or s.parent in spans for s in spans.values()) else None

    spans = await shop.eventually(whole, f"the trace of {one}")
    assert len({span.trace for span in spans.values()}) == 1
    assert {span.service for span in spans.values()} == services
    (root,) = (span for span in spans.values() if not span.parent)
    assert root.name == "order"
    told = next(span for span in spans.values() if span.name == "publish orders.order-completed.v1")
    (learnt,) = (span for span in spans.values() if span.service == "recommendation-learner")
    assert (learnt.name, learnt.parent) == ("process orders.order-completed.v1", told.span)
    batches = {span.span: span for span in collector.spans if span.name == "orders batch"}
    charged = next(span for span in spans.values() if span.name == "process payment.charge-captured.v1")
    (batch,) = (batches[link] for link in charged.links)
    phases = {span.name for span in collector.spans if span.parent == batch.span}
    assert phases == {"decode", "load", "decide", "commit"}


async def _order(shop: Shop, sku: str, number: int) -> str:
    """An order that completes, fails by its payment, or is cancelled. Nobody waits for a verdict: who gives it may be down."""
    one = shop.new_id("order")
    method = canaries.PAYMENT_METHOD if number % 4 == 1 else "pm_card_visa"
    data = order_data({sku: 1}, customer_id=CUSTOMER, payment_method=method)
    await shop.send("orders.start-order.v1", one, data)
    if number % 4 == 2:
        await shop.send("orders.cancel-order.v1", one, {"reason": canaries.REASON})
    else:
        await shop.send("orders.approve-payment.v1", one, {"approved_by": canaries.PERSON})
    return one


async def _say_garbage(shop: Shop) -> None:
    """Records that nobody can read, and commands that nobody can carry out, made of canaries."""
    song = canaries.SONG.encode()
    await shop.put(ORDERS_COMMANDS, b"order-x", song, [(canaries.SONG, song)])
    await shop.put(ORDERS_COMMANDS, b"\xff" + song, song)
    await shop.put(RECOMMENDATION_PAIRS, b"sku", song)
    for topic in sorted(EVENT_TOPICS):
        service = topic.partition(".")[0]
        for type_ in (f"{service}.command-rejected.v1", canaries.SONG, "orders.order-completed.v1"):
            await shop.put(topic, b"order-x", b'{"data":"' + song + b'"}', [("ce_type", type_.encode())])
    for data in ({canaries.SONG: canaries.SONG}, {"reason": canaries.SONG * 100}, canaries.SONG):
        document = envelope("orders.cancel-order.v1", "order-x", None, shop.new_id("cmd"), "e2e")
        await shop.put(ORDERS_COMMANDS, b"order-x", json.dumps({**document, "data": data}).encode())


async def _ask_rudely(shop: Shop) -> None:
    for service in ("orders-api", "inventory", "payment", "customer"):
        for path in (f"/{canaries.SONG}", f"/orders/{canaries.SONG}", "/orders", "/charges", f"/skus/{canaries.SONG}"):
            await shop.get(service, path, status=canaries.SONG, after=canaries.SONG)


def _lines(stack: Stack | ComposeStack) -> list[str]:
    return [line for text in stack.logs().values() for line in text.splitlines()]


@pytest.mark.slow
async def test_every_line_of_every_service_is_json_with_the_same_face(
    canary_stack: Stack | ComposeStack, canary_shop: Shop
) -> None:
    for service in SERVICES:
        lines = [json.loads(line) for line in canary_stack.log(service).splitlines()]
        assert lines[0]["event"] in ("started", "Using selector: EpollSelector"), service
        assert all(list(line)[: len(FACES)] == list(FACES) for line in lines), service


@pytest.mark.slow
@pytest.mark.parametrize("database", ["as-it-is", "none-of-that-name", "nobody-listens"])
async def test_the_databases_password_is_not_heard_whether_or_not_it_opens(canary_place: Place, database: str) -> None:
    address = canary_place.env["CUSTOMER_DATABASE_URL"]
    if canaries.PASSWORD not in address:
        address = address.replace("customer@", f"customer:{canaries.PASSWORD}@", 1)
    assert canaries.PASSWORD in address
    if database == "none-of-that-name":
        address = re.sub(r"/customer(\?|$)", r"/no-such-database\1", address)
    elif database == "nobody-listens":
        address = f"postgresql://customer:{canaries.PASSWORD}@127.0.0.1:1/customer"
    told = await _customer_service({**canary_place.env, "CUSTOMER_DATABASE_URL": address, "LOG_LEVEL": "DEBUG"})
    assert canaries.singing(told.splitlines()) == []
    events = [json.loads(line)["event"] for line in told.splitlines()]
    expected = {
        "as-it-is": "owns-partitions",
        "none-of-that-name": "crashed",
        "nobody-listens": "database-not-there-yet",
    }
    assert expected[database] in events


async def _customer_service(env: Mapping[str, Any]) -> str:
    """What a customer service of our own writes until it has said what it is about, or ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.customer"),
        cwd=CLONE,
        env={**env, "HTTP_PORT": "0", "LOG_FORMAT": "json"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    told = ""
    async with asyncio.timeout(90):
        while line := (await process.stdout.readline()).decode():
            told += line
            if any(said in line for said in ("owns-partitions", "database-not-there-yet")):
                process.send_signal(signal.SIGTERM)
        await process.wait()
    return told
