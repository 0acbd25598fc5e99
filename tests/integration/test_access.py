"""The whole of `provision/access.toml`, tried on a broker and a database that enforce it: what is allowed, and what is not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from manifests import script
from secure_broker import ADMIN, SecureBroker, change_password, exchange_certificate, secure_broker
from waiting import until
from workbench import (
    free_port,
    server_dsn,  # noqa: F401 - a fixture
)

from contracts.customer import RegisterCustomer
from contracts.envelope import encode, headers_for
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, StartOrder
from contracts.registry import TYPE_OF
from contracts.topics import ORDERS_COMMANDS, all_topics, dead_letter_topic
from contracts.values import CommandData, Item
from messaging.secure import load_kafka_security
from provision.access import acls, grants, load_policy
from provision.acls import ensure_acls
from provision.databases import ensure_schemas
from provision.errors import ProvisionError
from provision.topic_settings import TopicSettings
from provision.topics import ensure_topics

POLICY = load_policy()
QUEUE = "order-task-queue"
TOPICS = sorted(spec.name for spec in all_topics())
NO_PARTITION = 7
DATABASES = sorted(name for one in POLICY.values() for name in one.owns)
GROUPS = {one.group for one in POLICY.values() if one.group is not None}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """With all topics and the policy's ACLs."""
    with (
        secure_broker(tmp_path_factory.mktemp("secure"), [*POLICY, "provision"]) as found,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in found.settings(ADMIN).items():
            patch.setenv(name, value)

        async def prepare() -> None:
            await ensure_topics(found.bootstrap, 1)
            await ensure_acls(found.bootstrap, [*acls(POLICY, QUEUE), *script("generate").PROVISION])

        asyncio.run(prepare())
        yield found


async def connected(broker: SecureBroker, name: str, password: str | None = None) -> AIOKafkaClient:
    options = load_kafka_security(broker.settings(name, password)).options()
    client = AIOKafkaClient(bootstrap_servers=broker.bootstrap, **options)
    await client.bootstrap()
    return client


@dataclass(frozen=True, slots=True)
class Allowed:
    """Topics and groups, as the broker has answered for each of them."""

    reads: set[str]
    writes: set[str]
    joins: set[str]
    asks_about: set[str]


async def allowed(client: AIOKafkaClient) -> Allowed:
    """What the broker lets this client do, each thing tried."""
    reading = FetchRequest(0, 1, 1 << 20, 0, [(topic, [(0, 0, 1 << 16)]) for topic in TOPICS], "")
    fetched = await client.send(1, reading)
    reads = {topic for topic, partitions in fetched.topics if partitions[0][1] == 0}
    # To a partition that there is not: who may write is told that, and nothing comes onto a topic.
    batches = [(topic, [(NO_PARTITION, one_record())]) for topic in TOPICS]
    produced = await client.send(1, ProduceRequest(None, -1, 5_000, batches))
    writes = {topic for topic, partitions in produced.topics if partitions[0][1] != TopicAuthorizationFailedError.errno}
    joins, asks_about = set(), set()
    for group in GROUPS:
        # Nobody is a member yet: who may, is told that, and not that he may not.
        beat = await client.send(1, HeartbeatRequest(f"{QUEUE}.{group}", 1, "nobody"))
        found = await client.send(1, FindCoordinatorRequest(f"{QUEUE}.{group}", 0))
        joins |= {group} if beat.error_code != GroupAuthorizationFailedError.errno else set()
        asks_about |= {group} if found.error_code != GroupAuthorizationFailedError.errno else set()
    return Allowed(reads, writes, joins, asks_about)


def one_record() -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 14,
    )
    builder.append(0, 1, b"key", b"value", [])
    return bytes(builder.build())


@pytest.mark.parametrize("name", POLICY)
async def test_on_the_broker_everybody_may_do_what_the_policy_says_and_nothing_else(
    broker: SecureBroker, name: str
) -> None:
    client = await connected(broker, name)
    try:
        found = await allowed(client)
    finally:
        await client.close()
    one = POLICY[name]
    own = set() if one.group is None else {one.group}
    about = GROUPS if one.looks and one.reads else own
    assert found == Allowed(set(one.reads), set(one.writes), own, about)


async def test_who_has_no_name_or_a_wrong_password_does_not_get_in(broker: SecureBroker) -> None:
    with pytest.raises(KafkaConnectionError):
        await connected(broker, "orders", "wrong")
    plain = AIOKafkaClient(bootstrap_servers=broker.bootstrap, request_timeout_ms=2_000)
    with pytest.raises(KafkaConnectionError):
        await plain.bootstrap()


async def test_the_job_may_look_at_all_topics_as_strimzi_lets_it_and_change_none(
    broker: SecureBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broker.settings("provision").items():
        monkeypatch.setenv(name, value)
    await ensure_topics(broker.bootstrap, 1, TopicSettings(replicas=1))
    with pytest.raises(ProvisionError, match=r"min\.insync\.replicas is 1, not 2"):
        await ensure_topics(broker.bootstrap, 1, TopicSettings(min_insync=2))
    client = await connected(broker, "provision")
    try:
        assert await allowed(client) == Allowed(set(), set(), set(), set())
    finally:
        await client.close()


async def test_a_broker_whose_certificate_somebody_else_signed_is_not_spoken_to(
    broker: SecureBroker, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    options = load_kafka_security({**broker.settings("orders"), "KAFKA_SSL_CA_FILE": str(tmp_path / "other.pem")})
    with pytest.raises(KafkaConnectionError):
        await AIOKafkaClient(bootstrap_servers=broker.bootstrap, **options.options()).bootstrap()


# --- the databases ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def databases(server_dsn: str) -> Iterator[dict[str, str]]:  # noqa: F811
    """Each with its schema, made by its owner, and the policy's grants: once before and once after."""

    async def prepare() -> dict[str, str]:
        urls = {name: server_dsn.replace("/postgres?", f"/{name}?") for name in DATABASES}
        for name, url in urls.items():
            await run(server_dsn, [f'CREATE DATABASE "{name}"'])
            await run(url, grants(POLICY, name))
        owners = {name: one.role for one in POLICY.values() for name in one.owns}
        await ensure_schemas({name: (as_role(url, owners[name]),) for name, url in urls.items()})
        for name, url in urls.items():
            await run(url, grants(POLICY, name))
        await run(server_dsn, [_MAKE_ROLE.format(role=one.role) for one in POLICY.values()])
        return urls

    async def forget() -> None:
        await run(server_dsn, [f'DROP DATABASE "{name}" WITH (FORCE)' for name in DATABASES])

    yield asyncio.run(prepare())
    asyncio.run(forget())


_MAKE_ROLE = "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


def as_role(url: str, role: str) -> str:
    return url.replace("postgres:@", f"{role}:@", 1)


async def run(url: str, statements: list[str]) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize("name", POLICY)
async def test_in_the_databases_everybody_may_do_what_the_policy_says_and_nothing_else(
    databases: dict[str, str], name: str
) -> None:
    one = POLICY[name]
    for database, url in databases.items():
        admin = await asyncpg.connect(url)
        tables = [row[0] for row in await admin.fetch(TABLES)]
        await admin.close()
        assert tables, database
        may_enter = database in one.owns or database in one.looks
        try:
            connection = await asyncpg.connect(as_role(url, one.role))
        except asyncpg.InsufficientPrivilegeError:
            assert not may_enter, database
            continue
        assert may_enter, database
        owns = database in one.owns
        for table in tables:
            assert await lets(connection, f"SELECT * FROM {table} LIMIT 1"), table
            assert await lets(connection, f"DELETE FROM {table} WHERE false") == owns, table
            assert await lets(connection, f"TRUNCATE {table} CASCADE") == owns, table
        assert await lets(connection, "CREATE TABLE public.mine (a int)") == owns, database
        await connection.close()


async def lets(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> bool:
    """Whether the database would do it; nothing is left of it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await transaction.rollback()
    return True


# --- the services, as what they are ------------------------------------------------------------------------------------

#: Each process, and whose name it has.
PROCESSES = {
    "services.orders": "orders",
    "services.orders.api": "orders-api",
    "services.inventory": "inventory",
    "services.payment": "payment",
    "services.customer": "customer",
    "services.recommendation": "recommendation",
    "services.recommendation.learner": "recommendation-learner",
    "services.notification": "notification",
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The services, each under its own name and with what that allows."""

    ports: dict[str, int]
    folder: Path

    async def get(self, module: str, path: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.ports[module]}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            body = await answer.text()
            return answer.status, json.loads(body) if answer.status == 200 and body.startswith("{") else body


@pytest.fixture
async def fleet(broker: SecureBroker, databases: dict[str, str], tmp_path: Path) -> AsyncIterator[Fleet]:
    urls = {
        f"{name.upper()}_DATABASE_URL": as_role(url, one.role)
        for one in POLICY.values()
        for name in one.owns
        if (url := databases[name])
    }
    running, ports = [], {}
    for module, name in PROCESSES.items():
        password = tmp_path / f"{name}.password"
        password.write_text(f"{name * 2}\n")
        told = {**os.environ, **broker.settings(name), **urls, "KAFKA_SASL_PASSWORD_FILE": str(password)}
        del told["KAFKA_SASL_PASSWORD"]
        if name == "orders-api":
            told["ORDERS_DATABASE_URL"] = as_role(databases["orders"], "orders_api")
        ports[module] = free_port()
        told |= {"TOPIC_PARTITIONS": "1", "HTTP_PORT": str(ports[module]), "LOG_LEVEL": "DEBUG"}
        with (tmp_path / f"{name}.log").open("wb") as log:
            running.append(
                await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=told, stdout=log, stderr=log)
            )
    try:
        yield Fleet(ports, tmp_path)
    finally:
        for process in running:
            process.kill()
        await asyncio.gather(*(process.wait() for process in running))


async def test_an_order_goes_through_all_services_and_no_password_is_told(broker: SecureBroker, fleet: Fleet) -> None:
    async def ready(module: str) -> bool:
        try:
            return (await fleet.get(module, "/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    for module in PROCESSES:
        await until(lambda module=module: ready(module), f"{module} is ready", deadline_s=180)
    await put(broker, ADMIN, "sku-1", ReceiveStock(sku="sku-1", quantity=5, unit_price_minor=100))
    await put(broker, "operator", "ann", RegisterCustomer(customer_id="ann", name="Ann", email="ann@example.com"))
    item = Item(sku="sku-1", quantity=1)
    await put(broker, "shop", "o-1", StartOrder(customer_id="ann", items=(item,), payment_method="pm_card_visa"))
    await put(broker, "shop", "o-1", ApprovePayment(approved_by="bob"))
    with pytest.raises(TopicAuthorizationFailedError):
        await put(broker, "shop", "sku-1", ReceiveStock(sku="sku-1", quantity=5, unit_price_minor=1))

    async def completed() -> bool:
        status, found = await fleet.get("services.orders.api", "/orders/o-1")
        return status == 200 and found["status"] == "COMPLETED"

    await until(completed, "the order is completed", deadline_s=120)
    # One whose sender cannot be told: a dead letter.
    await put_bytes(broker, ORDERS_COMMANDS, b"garbage")
    letter = await first_of(broker, dead_letter_topic(ORDERS_COMMANDS, "orders"))
    told = {name: value for name, value in letter.headers if name.startswith("dlq-")}
    assert told["dlq-reason"] == b"not-json"
    assert not any(secret(name) in value for name in PROCESSES.values() for value in told.values())
    for module, name in PROCESSES.items():
        for path in ("/metrics", "/healthz", "/readyz", "/progress", "/lanes", "/nowhere"):
            assert secret(name).decode() not in str(await fleet.get(module, path)), f"{name}{path}"
    for name in PROCESSES.values():
        log = (fleet.folder / f"{name}.log").read_text()
        assert log, name
        assert name * 2 not in log, f"{name} told its password"


async def put(broker: SecureBroker, name: str, key: str, data: CommandData) -> None:
    """A command by this principal."""
    topic, type_ = TYPE_OF[type(data)]
    value = encode(
        id=uuid4().hex, source=name, type=type_, subject=key, data=data, time=datetime.now(UTC), correlationid=key
    )
    options = load_kafka_security(broker.settings(name)).options()
    where = broker.bootstrap
    async with AIOKafkaProducer(bootstrap_servers=where, acks="all", enable_idempotence=True, **options) as producer:
        await producer.send_and_wait(topic, value, key.encode(), headers=list(headers_for(type_)))


def secret(name: str) -> bytes:
    """The principal's password, as `SecureBroker` has it."""
    return (name * 2).encode()


async def put_bytes(broker: SecureBroker, topic: str, value: bytes) -> None:
    options = load_kafka_security(broker.settings(ADMIN)).options()
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, acks="all", enable_idempotence=True, **options
    ) as producer:
        await producer.send_and_wait(topic, value, b"o-1")


async def first_of(broker: SecureBroker, topic: str) -> ConsumerRecord[bytes, bytes]:
    """The first record on a topic."""
    options = load_kafka_security(broker.settings(ADMIN)).options()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, **options
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(30):
            return await consumer.getone()
    finally:
        await consumer.stop()


@asynccontextmanager
async def customer(broker: SecureBroker, databases: dict[str, str], password: Path) -> AsyncIterator[int]:
    """The customer service as a process, ready; its port."""
    port, (folder, name) = free_port(), (password.parent, f"{password.name}.log")
    told = {
        **os.environ,
        **broker.settings("customer"),
        "CUSTOMER_DATABASE_URL": as_role(databases["customer"], "customer"),
    }
    del told["KAFKA_SASL_PASSWORD"]
    told |= {"KAFKA_SASL_PASSWORD_FILE": str(password), "TOPIC_PARTITIONS": "1", "HTTP_PORT": str(port)}
    with (folder / name).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.customer", env=told, stdout=log, stderr=log
        )

    async def ready() -> bool:
        return await status(port, "/readyz") == 200

    try:
        await until(ready, (folder / name).read_text, deadline_s=180)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def registered(broker: SecureBroker, port: int, name: str) -> None:
    """A customer is registered by a command, and the service has heard it."""
    await put(broker, "operator", name, RegisterCustomer(customer_id=name, name=name, email=f"{name}@example.com"))

    async def known() -> bool:
        return await status(port, f"/customers/{name}") == 200

    await until(known, f"{name} is registered")


async def status(port: int, path: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_a_password_on_the_broker_is_changed_under_a_running_service_and_the_next_process_takes_the_new_one(
    broker: SecureBroker, databases: dict[str, str], tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("customer" * 2)
    new.write_text("another")
    try:
        async with customer(broker, databases, old) as port:
            await registered(broker, port, "bea")
            await change_password(broker, tmp_path, "customer", "another")
            with pytest.raises(KafkaConnectionError):
                await connected(broker, "customer")
            # Who is in stays in.
            await registered(broker, port, "cleo")
        async with customer(broker, databases, new) as port:
            await registered(broker, port, "dora")
    finally:
        await change_password(broker, tmp_path, "customer", "customer" * 2)


async def lets_in(broker: SecureBroker) -> bool:
    """Whether who trusts `broker.ca_file` can speak with it."""
    try:
        await (await connected(broker, "customer")).close()
    except KafkaConnectionError:
        return False
    return True


async def test_the_brokers_certificate_is_exchanged_for_another_authoritys_under_services_that_trust_both(
    broker: SecureBroker, databases: dict[str, str], tmp_path: Path
) -> None:
    authority, new, both = trustme.CA(), tmp_path / "new.pem", tmp_path / "both.pem"
    authority.cert_pem.write_to_path(str(new))
    both.write_bytes(broker.ca_file.read_bytes() + new.read_bytes())
    trusting = replace(broker, ca_file=both)
    password = tmp_path / "password"
    password.write_text("customer" * 2)

    async def refused() -> bool:
        return not await lets_in(broker)

    try:
        async with customer(trusting, databases, password) as port:
            await registered(trusting, port, "emil")
            await exchange_certificate(trusting, tmp_path, authority, both)
            # The command returns when the change is recorded, which is before the broker heeds it.
            await until(lambda: lets_in(replace(broker, ca_file=new)), "it shows the new certificate", every_s=0.5)
            # Nor do all of its threads heed it at once.
            await until(refused, "who trusts the old authority alone is refused", every_s=0.5)
            # Who is in stays in, and whoever comes anew and trusts both gets in.
            await registered(trusting, port, "fay")
        async with customer(trusting, databases, password) as port:
            await registered(trusting, port, "gil")
    finally:
        await exchange_certificate(trusting, tmp_path, broker.authority, both)
