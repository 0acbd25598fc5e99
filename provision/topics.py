"""The topics, as the contracts want them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from contracts.topics import TopicSpec, all_topics
from messaging.clients import make_admin
from provision.errors import ProvisionError

_READY_TIMEOUT_S: Final = 30.0
_RETRY_S: Final = 0.1
_ALREADY_EXISTS: Final = 36
_MOST_REPLICAS: Final = 3


async def ensure_topics(bootstrap: str, partitions: int) -> None:
    """Every topic of the contracts exists with this many partitions, and each of these has a leader.

    Raises `ProvisionError` where a topic has another number of partitions: they cannot be changed without breaking
    the order of what stands on them.
    """
    admin = await _connect(bootstrap)
    try:
        specs = all_topics(partitions)
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            await _create(admin, missing)
        await _wait_for_leaders(admin, specs)
    except (KafkaError, OSError) as error:
        raise ProvisionError(f"The topics could not be created at {bootstrap}: {error!r}") from error
    finally:
        await admin.close()


async def _connect(bootstrap: str) -> AIOKafkaAdminClient:
    deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
    while True:
        admin = make_admin(bootstrap, "provision")
        try:
            await admin.start()
        except (KafkaError, OSError) as error:
            await admin.close()
            if asyncio.get_running_loop().time() > deadline:
                raise ProvisionError(f"No Kafka broker answers at {bootstrap}: {error!r}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return admin


async def _create(admin: AIOKafkaAdminClient, missing: list[TopicSpec]) -> None:
    brokers = (await admin.describe_cluster())["brokers"]
    replicas = min(_MOST_REPLICAS, max(1, len(brokers)))
    wanted = [NewTopic(spec.name, spec.partitions, replicas, topic_configs=spec.config) for spec in missing]
    answer = await admin.create_topics(wanted)
    for name, code, *message in answer.topic_errors:
        # Another stack may have created it between our look and our request.
        if code not in (0, _ALREADY_EXISTS):
            raise ProvisionError(f"The broker refused to create the topic {name}: error {code} {message}")


async def _wait_for_leaders(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
    """A new topic answers NotLeaderForPartition for a moment; nobody else shall see that."""
    deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
    while True:
        described = await admin.describe_topics([spec.name for spec in specs])
        known = {topic["topic"]: topic for topic in described}
        waiting = [spec.name for spec in specs if not _settled(spec, known.get(spec.name))]
        if not waiting:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError(f"These topics have no leader after {_READY_TIMEOUT_S:.0f} s: {', '.join(waiting)}")
        await asyncio.sleep(_RETRY_S)


def _settled(spec: TopicSpec, topic: dict[str, Any] | None) -> bool:
    if topic is None or topic["error_code"] != 0:
        return False
    found = topic["partitions"]
    if len(found) != spec.partitions:
        raise ProvisionError(
            f"The topic {spec.name} has {len(found)} partitions, but TOPIC_PARTITIONS asks for {spec.partitions}. "
            "Set TOPIC_PARTITIONS to what is there, or start from an empty broker."
        )
    return all(partition["error_code"] == 0 and partition["leader"] >= 0 for partition in found)
