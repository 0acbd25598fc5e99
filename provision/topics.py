"""The topics, as the contracts want them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from contracts.topics import TopicSpec
from messaging.clients import make_admin
from provision.errors import ProvisionError
from provision.topic_settings import TopicSettings, mismatches

_READY_TIMEOUT_S: Final = 30.0
_RETRY_S: Final = 0.1
_ALREADY_EXISTS: Final = 36


async def ensure_topics(bootstrap: str, partitions: int, wanted: TopicSettings | None = None) -> None:
    """Every topic of the contracts exists with this many partitions, and each of these has a leader. With `wanted` its copies and
    configuration are looked at too.

    Raises `ProvisionError` where a topic has another number of partitions: they cannot be changed without breaking
    the order of what stands on them. Likewise where copies or configuration are others than wanted.
    """
    settings = wanted or TopicSettings()
    admin = await _connect(bootstrap)
    try:
        specs = settings.specs(partitions)
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            await _create(admin, missing, settings)
        await _wait_for_leaders(admin, specs)
        if wanted is not None:
            await _check(admin, specs, wanted)
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


async def _create(admin: AIOKafkaAdminClient, missing: list[TopicSpec], settings: TopicSettings) -> None:
    brokers = (await admin.describe_cluster())["brokers"]
    replicas = settings.copies(len(brokers))
    if replicas > len(brokers) or settings.min_insync > replicas:
        raise ProvisionError(
            f"{len(brokers)} brokers answer: not enough for {replicas} copies of a topic, {settings.min_insync} of them in sync "
            "(TOPIC_REPLICATION_FACTOR, TOPIC_MIN_INSYNC_REPLICAS)."
        )
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


async def _check(admin: AIOKafkaAdminClient, specs: list[TopicSpec], wanted: TopicSettings) -> None:
    """What is there is as it is wanted: nothing is changed that somebody may have meant."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    answers = [resource for answer in await admin.describe_configs(asked) for resource in answer.resources]
    found = {resource[3]: {entry[0]: entry[1] for entry in resource[4]} for resource in answers}
    wrong = mismatches(specs, found)
    if wanted.replicas:
        described = await admin.describe_topics([spec.name for spec in specs])
        copies = {topic["topic"]: min(len(part["replicas"]) for part in topic["partitions"]) for topic in described}
        wrong += [
            f"{name}: {has} copies, not {wanted.replicas}" for name, has in copies.items() if has != wanted.replicas
        ]
    if wrong:
        raise ProvisionError(
            "These topics are not as the settings want them. Say what is meant in TOPIC_CONFIG and the like, or change the topics "
            "(kafka-configs.sh --alter, kafka-reassign-partitions.sh):\n" + "\n".join(wrong)
        )


def _settled(spec: TopicSpec, topic: dict[str, Any] | None) -> bool:
    if topic is None or topic["error_code"] != 0:
        return False
    found = topic["partitions"]
    if len(found) != spec.partitions:
        raise ProvisionError(
            f"The topic {spec.name} has {len(found)} partitions, but TOPIC_PARTITIONS asks for {spec.partitions}. "
            "Set TOPIC_PARTITIONS to what is there, or start from an empty broker: another number would move keys to other "
            "partitions, away from their state, timers and offsets."
        )
    return all(partition["error_code"] == 0 and partition["leader"] >= 0 for partition in found)
