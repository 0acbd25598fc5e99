"""The job before anything starts, against a real broker: topics that are not as the settings want them are refused, not changed."""

from __future__ import annotations

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from waiting import until

from contracts.topics import DEFAULT_PARTITIONS, ORDERS_EVENTS
from messaging.clients import make_admin
from provision.errors import ProvisionError
from provision.topic_settings import TopicSettings, load_topic_settings
from provision.topics import ensure_topics

WEEK = "604800000"


async def configure(bootstrap: str, config: dict[str, str]) -> None:
    """Somebody sets the topic's configuration by hand."""
    admin = make_admin(bootstrap, "tests")
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, ORDERS_EVENTS, config)])

        async def holds() -> bool:
            (told,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, ORDERS_EVENTS)])
            found = {entry[0]: entry[1] for entry in told.resources[0][4]}
            return found["retention.ms"] == config["retention.ms"]

        await until(holds, "the broker has it")
    finally:
        await admin.close()


async def test_topics_that_are_as_the_settings_want_them_pass_again_and_again(kafka: str) -> None:
    await ensure_topics(kafka, DEFAULT_PARTITIONS, TopicSettings())
    await ensure_topics(kafka, DEFAULT_PARTITIONS, TopicSettings(replicas=1))


async def test_a_topic_with_another_retention_is_refused_until_the_settings_say_so(kafka: str) -> None:
    (ours,) = [spec.config for spec in TopicSettings().specs(DEFAULT_PARTITIONS) if spec.name == ORDERS_EVENTS]
    await configure(kafka, {**ours, "retention.ms": WEEK})
    try:
        with pytest.raises(ProvisionError, match=f"{ORDERS_EVENTS}: retention.ms is {WEEK}, not -1"):
            await ensure_topics(kafka, DEFAULT_PARTITIONS, TopicSettings())
        said = load_topic_settings({"TOPIC_CONFIG": f"{ORDERS_EVENTS}:retention.ms={WEEK}"})
        await ensure_topics(kafka, DEFAULT_PARTITIONS, said)
    finally:
        await configure(kafka, ours)


async def test_fewer_copies_than_wanted_are_refused(kafka: str) -> None:
    with pytest.raises(ProvisionError, match=f"{ORDERS_EVENTS}: 1 copies, not 2"):
        await ensure_topics(kafka, DEFAULT_PARTITIONS, TopicSettings(replicas=2))


async def test_more_partitions_are_refused_with_the_reason(kafka: str) -> None:
    with pytest.raises(ProvisionError, match="away from their state, timers and offsets"):
        await ensure_topics(kafka, DEFAULT_PARTITIONS + 4, TopicSettings())
