"""Every process of the system under its own name, on a broker and databases that let each do what the policy says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest
from access_bench import POLICY, as_role
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from secure_broker import ADMIN, SecureBroker
from waiting import until
from workbench import free_port

from contracts.envelope import encode, headers_for
from contracts.registry import TYPE_OF
from contracts.values import CommandData
from messaging.secure import load_kafka_security

#: Each process, and whose name it has.
PROCESSES: Final = {
    "services.orders": "orders",
    "services.orders.api": "orders-api",
    "services.inventory": "inventory",
    "services.payment": "payment",
    "services.customer": "customer",
    "services.recommendation": "recommendation",
    "services.recommendation.learner": "recommendation-learner",
    "services.notification": "notification",
    "services.console": "console",
    "audit.watcher": "watcher",
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes, each under its own name and with what that allows. `ports` by module."""

    broker: SecureBroker
    databases: Mapping[str, str]
    ports: Mapping[str, int]
    folder: Path

    async def get(self, module: str, path: str) -> tuple[int, Any]:
        """Status and body; a JSON object as such."""
        url = f"http://127.0.0.1:{self.ports[module]}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            body = await answer.text()
            return answer.status, json.loads(body) if answer.status == 200 and body.startswith("{") else body

    async def ready(self, module: str) -> bool:
        """Whether all is there that this process needs."""
        try:
            return (await self.get(module, "/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    def told(self, name: str) -> dict[str, str]:
        """The environment of this principal: its password in a file, its role's way to each database that it has to do with, and
        where everybody answers."""
        one, password = POLICY[name], self.folder / f"{name}.password"
        password.write_text(f"{name * 2}\n")
        found = {**os.environ, **self.broker.settings(name), "KAFKA_SASL_PASSWORD_FILE": str(password)}
        del found["KAFKA_SASL_PASSWORD"]
        for database in (*one.owns, *one.looks):
            found[f"{database.upper()}_DATABASE_URL"] = as_role(self.databases[database], one.role)
        for module, owner in PROCESSES.items():
            called = "orders" if owner == "orders-api" else owner.replace("-", "_")
            what = "PROCESS_URLS" if owner == "orders" else "API_URL"
            found[f"{called.upper()}_{what}"] = f"http://127.0.0.1:{self.ports[module]}"
        return found | {"WATCHER_URL": f"http://127.0.0.1:{self.ports['audit.watcher']}", "TOPIC_PARTITIONS": "1"}

    async def orderctl(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """A client in the operator's hands: its exit code, the document on stdout, and what it told on stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orderctl", "--connect-timeout", "60", *arguments, "--json"),
            env=self.told("operator"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 180)
        told = err.decode()
        assert "operator" * 2 not in out.decode() + told, "it told its password"
        return process.returncode or 0, json.loads(out or b"{}"), told


@pytest.fixture
async def fleet(broker: SecureBroker, databases: dict[str, str], tmp_path: Path) -> AsyncIterator[Fleet]:
    """All of them, started."""
    found, running = Fleet(broker, databases, {module: free_port() for module in PROCESSES}, tmp_path), []
    for module, name in PROCESSES.items():
        env = found.told(name) | {"HTTP_PORT": str(found.ports[module]), "LOG_LEVEL": "DEBUG"}
        with (tmp_path / f"{name}.log").open("wb") as log:
            running.append(
                await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=env, stdout=log, stderr=log)
            )
    try:
        yield found
    finally:
        for process in running:
            process.kill()
        await asyncio.gather(*(process.wait() for process in running))


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


async def status(port: int, path: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0
