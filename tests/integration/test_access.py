"""The whole of `provision/access.toml`, tried on a broker and a database that enforce it: what is allowed, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from access_bench import (
    POLICY,
    PROVISION,
    QUEUE,
    connected,
)
from access_fleet import (
    PROCESSES,
    Fleet,
    customer,
    first_of,
    put,
    put_bytes,
    secret,
    status,
)
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteTopicsRequest,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from prometheus_client.parser import text_string_to_metric_families
from secure_broker import ADMIN, NODE, SecureBroker, change_password, exchange_certificate
from waiting import until

from contracts import metrics
from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, StartOrder
from contracts.topics import ORDERS_COMMANDS, all_topics, dead_letter_topic
from contracts.values import Item
from messaging.secure import load_kafka_security
from provision.errors import ProvisionError
from provision.topic_settings import TopicSettings
from provision.topics import ensure_topics

TOPICS = sorted(spec.name for spec in all_topics())
NO_PARTITION = 7
GROUPS = {one.group for one in POLICY.values() if one.group is not None}


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


#: The broker's word that one may not (TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED).
DENIED = {29, 31}
#: Kafka's numbers: a topic and a broker, whose configs are asked for; all on it, allowed, to everybody who has that name.
TOPIC, BROKER, ALL, ALLOW, LITERAL = 2, 4, 2, 3, 3


async def administers(client: AIOKafkaClient, topics: list[str]) -> set[str]:
    """What of the administration of these topics and of the cluster the broker does not deny; tried without being done, where
    that can be."""
    acl = (TOPIC, topics[0], LITERAL, "User:nobody", "*", ALL, ALLOW)
    found = set()
    made = await client.send(1, CreateTopicsRequest([("new.events.v1", 1, 1, [], [])], 5_000, validate_only=True))
    found |= {f"create {topic}" for topic, code, *_ in made.topic_errors if code not in DENIED}
    grown = await client.send(1, CreatePartitionsRequest([(topic, (9, None)) for topic in topics], 5_000, True))
    found |= {f"add partitions to {topic}" for topic, code, *_ in grown.topic_errors if code not in DENIED}
    wanted = [(TOPIC, topic, [("retention.ms", "1000")]) for topic in topics]
    changed = await client.send(1, AlterConfigsRequest([*wanted, (BROKER, NODE, [("log.retention.ms", "1")])], True))
    found |= {f"change {name}" for code, _, _, name in changed.resources if code not in DENIED}
    allowed_ = await client.send(1, CreateAclsRequest(*acl))
    found |= {"allow" for code, *_ in allowed_.creation_responses if code not in DENIED}
    denied = await client.send(1, DeleteAclsRequest(*acl))
    found |= {"deny" for code, *_ in denied.filter_responses if code not in DENIED}
    deleted = await client.send(1, DeleteTopicsRequest(topics, 5_000))
    found |= {f"delete {topic}" for topic, code in deleted.topic_error_codes if code not in DENIED}
    return found


@pytest.mark.parametrize("name", [*POLICY, PROVISION])
async def test_nobody_makes_changes_or_deletes_topics_or_says_who_may(broker: SecureBroker, name: str) -> None:
    client = await connected(broker, name)
    try:
        assert await administers(client, TOPICS) == set()
    finally:
        await client.close()


async def test_whoever_provisions_the_broker_may_do_all_of_that(broker: SecureBroker) -> None:
    client, victim = await connected(broker, ADMIN), "victim.events.v1"
    try:
        await client.send(1, CreateTopicsRequest([(victim, 1, 1, [], [])], 5_000, validate_only=False))
        told = {
            f"add partitions to {victim}",
            f"change {victim}",
            f"change {NODE}",
            "allow",
            "deny",
            f"delete {victim}",
        }
        assert await administers(client, [victim]) == {"create new.events.v1", *told}
    finally:
        await client.close()


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
    for name, value in broker.settings(PROVISION).items():
        monkeypatch.setenv(name, value)
    await ensure_topics(broker.bootstrap, 1, TopicSettings(replicas=1))
    with pytest.raises(ProvisionError, match=r"min\.insync\.replicas is 1, not 2"):
        await ensure_topics(broker.bootstrap, 1, TopicSettings(min_insync=2))
    client = await connected(broker, PROVISION)
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


# --- the services, as what they are ------------------------------------------------------------------------------------


async def test_an_order_goes_through_all_services_and_no_password_is_told(broker: SecureBroker, fleet: Fleet) -> None:
    for module in PROCESSES:
        await until(lambda module=module: fleet.ready(module), f"{module} is ready", deadline_s=180)
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
    await the_watcher_sees_everybody(fleet)
    await the_operators_tools_work(fleet)
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


async def the_watcher_sees_everybody(fleet: Fleet) -> None:
    _, text = await fleet.get("audit.watcher", "/metrics")
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    seen = {sample.labels["source"]: sample.value for sample in families[metrics.WATCH_UP.name]}
    assert {"kafka", *POLICY["watcher"].looks} <= seen.keys()
    assert set(seen.values()) == {1}, seen


async def the_operators_tools_work(fleet: Fleet) -> None:
    """Over the same wires, under the operator's name, whose role only looks."""
    code, verdict, told = await fleet.orderctl("receive-stock", "sku-2", "3", "--price-minor", "100")
    assert (code, verdict.get("accepted")) == (0, True), told
    assert (await fleet.orderctl("status", "o-1"))[1]["status"] == "COMPLETED"

    async def all_are_well() -> bool:
        code, found, told = await fleet.orderctl("services")
        assert len(found["items"]) == 6, told
        return code == 0

    await until(all_are_well, "orderctl finds every service well")
    code, report, told = await fleet.orderctl("audit", "--grace", "60", "--settle-timeout", "60")
    assert (code, report["breaches"]) == (0, []), (report, told)
    assert report["orders"] == 1


async def registered(broker: SecureBroker, port: int, name: str) -> None:
    """A customer is registered by a command, and the service has heard it."""
    await put(broker, "operator", name, RegisterCustomer(customer_id=name, name=name, email=f"{name}@example.com"))

    async def known() -> bool:
        return await status(port, f"/customers/{name}") == 200

    await until(known, f"{name} is registered")


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
