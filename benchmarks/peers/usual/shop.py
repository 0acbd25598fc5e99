"""What the peer needs before it starts, and whether its books are right when it has ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.contenders import SKUS, STOCK_PER_SKU, OnKafka
from benchmarks.errors import NotMeasuredError
from benchmarks.fleet import Fleet
from benchmarks.place import Place
from contracts.topics import all_topics
from devstack.ports import is_free
from devstack.postgres import ensure_databases
from devstack.processes import ProcessSpec
from orderctl.load import LoadPlan

PREFIX: Final = "peer."
SERVICES: Final = ("orders", "inventory", "payment", "customer", "recommendation")
#: One process for each service.
APART: Final = tuple((name,) for name in SERVICES)
#: All in one process.
TOGETHER: Final = (SERVICES,)
_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_BOOKS: Final = {
    "orders": "SELECT count(*) FROM orders WHERE status <> 'COMPLETED'",
    "inventory": "SELECT count(*) FROM stock WHERE held <> 0",
    "payment": """
SELECT count(*) FROM charge LEFT JOIN gateway_entry g USING (charge_id, amount_minor) WHERE status <> 'captured' OR g IS NULL
""",
}


def dsn_of(databases: str, service: str) -> str:
    """The service's database."""
    return databases.replace("NAME", f"peer_{service}")


async def usual(at: Place, layout: Sequence[Sequence[str]] = APART) -> OnKafka:
    """The peer, provisioned and not started. `layout`: which services share a process."""
    databases = at.stack.settings.own_dsn("NAME", "NAME")
    await ensure_databases(at.superuser_dsn, [f"peer_{name}" for name in SERVICES])
    await _make_topics(at)
    for name in SERVICES:
        await _make_tables(dsn_of(databases, name), name)
    specs = []
    for port, names in zip(_free_ports(len(layout)), layout, strict=True):
        address = f"127.0.0.1:{port}"
        specs.append(
            ProcessSpec(
                name="usual " + "+".join(names),
                argv=(sys.executable, "-m", "benchmarks.peers.usual", *names),
                env={"PEER_DATABASES": databases, "READY_PORT": str(port)},
                address=address,
                probe="tcp",
                target=address,
            )
        )
    return OnKafka("usual", Fleet(specs, at.stack.settings.home), PREFIX, shop=False)


async def _make_topics(at: Place) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=at.stack.settings.bootstrap)
    await admin.start()
    try:
        existing = await admin.list_topics()
        specs = [spec for spec in all_topics(at.stack.settings.partitions) if not spec.name.endswith(".dlq")]
        wanted = [NewTopic(PREFIX + spec.name, spec.partitions, 1, topic_configs=spec.config) for spec in specs]
        await admin.create_topics([topic for topic in wanted if topic.name not in existing])
        names = [topic.name for topic in wanted]
        while any(topic["error_code"] for topic in await admin.describe_topics(names)):  # noqa: ASYNC110 - the broker's fact
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def _make_tables(dsn: str, service: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    plan = LoadPlan(run_id="names", orders=0)
    try:
        if await connection.fetchval("SELECT to_regclass('outbox')") is None:
            await connection.execute(_SCHEMA.read_text())
            if service == "inventory":
                rows = [(plan.sku(number), plan.unit_price_minor, STOCK_PER_SKU) for number in range(SKUS)]
                await connection.executemany(
                    "INSERT INTO stock (sku, unit_price_minor, on_hand) VALUES ($1, $2, $3)", rows
                )
            if service == "customer":
                names = [(plan.customer(number),) for number in range(plan.customers)]
                await connection.executemany("INSERT INTO customer (customer_id) VALUES ($1)", names)
    finally:
        await connection.close()


def _free_ports(count: int) -> list[int]:
    return [port for port in range(42_100, 43_000) if is_free(port)][:count]


async def check_books(at: Place) -> None:
    """Every order completed and paid, nothing held, nothing unsent. Raises `NotMeasuredError`."""
    databases = at.stack.settings.own_dsn("NAME", "NAME")
    for name in SERVICES:
        connection = await asyncpg.connect(dsn_of(databases, name), timeout=10)
        try:
            wrong = await connection.fetchval("SELECT count(*) FROM outbox")
            if name in _BOOKS:
                wrong += await connection.fetchval(_BOOKS[name])
        finally:
            await connection.close()
        if wrong:
            raise NotMeasuredError(f"The peer's {name} has {wrong} rows that should not be there.")
