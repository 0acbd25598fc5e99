"""The real broker, the real database and the mail sink, started beside whatever else runs on this machine."""

import smtplib
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.topics import all_topics
from devstack.errors import ProvisionError
from devstack.ports import free_offset
from devstack.records import marked
from devstack.settings import DATABASES
from devstack.stack import Stack
from devstack.topics import ensure_topics


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    patch = pytest.MonkeyPatch()
    # Its own broker and databases are what is tested here, whatever the environment offers.
    for name in (
        "KAFKA_BOOTSTRAP_SERVERS",
        *(f"{name.upper()}_DATABASE_URL" for name in DATABASES),
        "TOPIC_PARTITIONS",
    ):
        patch.delenv(name, raising=False)
    with Stack(home=tmp_path_factory.mktemp("devstack"), offset=free_offset()) as running:
        yield running
    patch.undo()
    assert list(marked(running.settings.home)) == []


def eventually(fact: Callable[[], bool], deadline_s: float = 90) -> None:
    """Wait for the fact."""
    deadline = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)


async def append_and_read(bootstrap: str, value: bytes) -> object:
    topic = all_topics(4)[0].name
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        written = await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, written.offset)
        return (await consumer.getone()).value
    finally:
        await consumer.stop()


async def test_up_a_second_time_changes_nothing(stack: Stack) -> None:
    assert stack.up(only_backends=True) == stack.status()
    assert all(process.restarts == 0 for process in stack.status().processes)


def test_the_broker_runs_on_its_prepared_classes(stack: Stack) -> None:
    broker = next(process for process in stack.status().processes if process.name == "kafka")
    prepared = [argument for argument in psutil.Process(broker.pid).cmdline() if "SharedArchiveFile" in argument]
    assert len(prepared) == 1
    mapped = {found.path for found in psutil.Process(broker.pid).memory_maps()}
    assert prepared[0].partition("=")[2] in mapped, "Java did not take them"


async def test_the_contracts_topics_are_there_and_another_partition_count_is_refused(stack: Stack) -> None:
    await ensure_topics(stack.settings.bootstrap, 4)
    with pytest.raises(ProvisionError, match="has 4 partitions, but TOPIC_PARTITIONS asks for 5"):
        await ensure_topics(stack.settings.bootstrap, 5)


@pytest.mark.parametrize("name", DATABASES)
async def test_each_role_owns_its_database_and_commits_are_durable(stack: Stack, name: str) -> None:
    connection = await asyncpg.connect(stack.environment()[f"{name.upper()}_DATABASE_URL"])
    try:
        assert await connection.fetchval("select current_user || ' ' || current_database()") == f"{name} {name}"
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show synchronous_commit") == "on"
        await connection.execute("create table if not exists mine (id int)")
    finally:
        await connection.close()


def test_a_mail_is_kept_once_per_message_id(stack: Stack) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "shop@example.com", "customer@example.com", "<once@shop>"
    mail.set_content("Your order is complete.")
    for _ in range(2):
        with smtplib.SMTP("127.0.0.1", stack.settings.smtp_port, timeout=10) as client:
            client.send_message(mail)
    kept = list(Path(stack.environment()["MAIL_SINK_DIR"]).glob("*.eml"))
    assert len(kept) == 1
    assert b"Your order is complete." in kept[0].read_bytes()


async def test_a_killed_broker_comes_back_with_what_it_had(stack: Stack) -> None:
    assert await append_and_read(stack.settings.bootstrap, b"before") == b"before"
    stack.kill("kafka")
    stack.wait_until_ready(60)
    await ensure_topics(stack.settings.bootstrap, 4)
    assert await append_and_read(stack.settings.bootstrap, b"after") == b"after"


async def test_a_killed_database_comes_back_with_what_was_committed(stack: Stack) -> None:
    dsn = stack.environment()["ORDERS_DATABASE_URL"]
    connection = await asyncpg.connect(dsn)
    await connection.execute("create table kept as select 42 as answer")
    stack.kill("postgres")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("select 1")
    stack.wait_until_ready(60)
    again = await asyncpg.connect(dsn)
    try:
        assert await again.fetchval("select answer from kept") == 42
    finally:
        await again.close()


def test_what_a_killed_supervisor_left_is_found_and_data_survives_the_new_start(stack: Stack) -> None:
    status = stack.status()
    assert status.pid is not None
    before = {process.name: psutil.Process(process.pid) for process in status.processes}
    psutil.Process(status.pid).kill()
    eventually(lambda: stack.status().phase == "down")
    after = {process.name: process.pid for process in stack.up(only_backends=True).processes}
    assert after.keys() == before.keys()
    assert all(after[name] != before[name].pid for name in after)
