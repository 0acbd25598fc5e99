"""How Faust is set up: none of its defaults that loses records is left, and what is overridden in it is what was read."""

from __future__ import annotations

from pathlib import Path

import faust
import pytest
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver

from contracts.topics import all_topics
from messaging.settings import load_settings
from services.recommendation.learner.app import Learner, topics_of_learner
from services.recommendation.learner.careful import CarefulConsumer, CarefulProducer
from services.recommendation.learner.meters import LearnerMeters


@pytest.fixture
async def learner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Learner:
    monkeypatch.chdir(tmp_path)
    env = {"KAFKA_BOOTSTRAP_SERVERS": "one:9092, two:9093", "TOPIC_PARTITIONS": "4"}
    return Learner(load_settings("recommendation-learner", env=env), LearnerMeters())


def test_the_version_is_the_one_whose_source_was_read() -> None:
    # Another one: read what careful.py overrides again, run the integration tests, then change this line.
    assert faust.__version__ == "0.15.3"
    for name in ("ack", "_filter_committable_offsets", "on_partitions_revoked", "on_partitions_assigned"):
        assert name in vars(Consumer)
    assert "seek_to_committed" in dir(driver.Consumer)


async def test_nothing_that_loses_records_is_left_to_a_default(learner: Learner) -> None:
    conf = learner.app.conf
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.producer_acks == -1
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert not conf.web_enabled
    assert str(conf.store) == "memory:"
    assert [str(url) for url in conf.broker] == ["kafka://one:9092", "kafka://two:9093"]
    assert conf.id == "order-task-queue.recommendation-learner"
    assert {agent.concurrency for agent in learner.app.agents.values()} == {1}


async def test_its_clients_are_the_careful_ones(learner: Learner) -> None:
    assert isinstance(learner.app.consumer, CarefulConsumer)
    producer = learner.app.producer
    assert isinstance(producer, CarefulProducer)
    options = {**producer._settings_default(), **producer._settings_extra()}
    assert (options["acks"], options["enable_idempotence"]) == ("all", True)
    assert options["max_batch_size"] < 1024 * 1024 < options["max_request_size"]
    assert options["bootstrap_servers"] == ["one:9092", "two:9093"]


async def test_every_topic_it_uses_is_the_stacks_with_the_same_partitions(learner: Learner) -> None:
    specs = {spec.name: spec for spec in all_topics(4)}
    assert {specs[name].partitions for name in topics_of_learner()} == {4}
    (table,) = learner.app.tables.values()
    assert specs[table.changelog_topic_name].config == {"cleanup.policy": "compact"}


async def test_it_leaves_no_folder_behind(learner: Learner, tmp_path: Path) -> None:
    await learner.app.on_first_start()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a folder of the test
