"""The policy (`provision/access.toml`) in force: a broker with its ACLs, and databases with their schemas and grants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from aiokafka.client import AIOKafkaClient
from manifests import script
from secure_broker import ADMIN, SecureBroker, secure_broker

from messaging.secure import load_kafka_security
from provision.access import acls, grants, load_policy
from provision.acls import ensure_acls
from provision.databases import ensure_schemas
from provision.topics import ensure_topics

POLICY = load_policy()
QUEUE = "order-task-queue"
#: The job, which stands in no policy: Strimzi makes topics and users, and it looks at them.
PROVISION = "provision"
DATABASES = sorted(name for one in POLICY.values() for name in one.owns)
_MAKE_ROLE = "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """With all topics and the policy's ACLs."""
    with (
        secure_broker(tmp_path_factory.mktemp("secure"), [*POLICY, PROVISION]) as found,
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


def as_role(url: str, role: str) -> str:
    """The same database, for this role."""
    return url.replace("postgres:@", f"{role}:@", 1)


async def run(url: str, statements: list[str]) -> None:
    """Do these, one after the other."""
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="module")
def databases(server_dsn: str) -> Iterator[dict[str, str]]:
    """Where each is, for a superuser. The grants were made once before the schema and once after."""

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
