"""Copies, retention and compaction of the topics are settings; what would lose something is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.topics import ORDERS_EVENTS, RECOMMENDATION_PAIRS, TopicSpec
from messaging.errors import SettingsError
from provision.topic_settings import TopicSettings, load_topic_settings, mismatches

WEEK = "604800000"
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


def configs(told: str) -> dict[str, dict[str, str]]:
    settings = load_topic_settings(
        {"TOPIC_CONFIG": told, "TOPIC_REPLICATION_FACTOR": "3", "TOPIC_MIN_INSYNC_REPLICAS": "2"}
    )
    return {spec.name: spec.config for spec in settings.specs(4)}


def test_what_is_said_of_a_topic_holds_for_it_alone_and_min_insync_replicas_for_all() -> None:
    found = configs(
        f"{ORDERS_EVENTS}:retention.ms={WEEK}, *.dlq:retention.ms=1000, {RECOMMENDATION_PAIRS}:cleanup.policy=compact+delete"
    )
    assert found[ORDERS_EVENTS]["retention.ms"] == WEEK
    assert found[ORDERS_EVENTS]["message.timestamp.type"] == "LogAppendTime"
    assert found["inventory.events.v1"]["retention.ms"] == "-1"
    assert found[f"{ORDERS_EVENTS}.customer.dlq"]["retention.ms"] == "1000"
    assert found[RECOMMENDATION_PAIRS]["cleanup.policy"] == "compact,delete"
    assert {config["min.insync.replicas"] for config in found.values()} == {"2"}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("orders.events.v2:retention.ms=1", "names no topic of ours"),
        (f"{ORDERS_EVENTS}:retention.ms", "no value"),
        (f"{ORDERS_EVENTS}:compression.type=gzip", "may say retention.ms"),
        (f"{ORDERS_EVENTS}:retention.ms=week", "whole number from -1"),
        (f"{ORDERS_EVENTS}:segment.ms=-1", "whole number from 1"),
        (f"{ORDERS_EVENTS}:cleanup.policy=compact", "last event alone"),
        (f"{RECOMMENDATION_PAIRS}:cleanup.policy=delete", "read back as a table"),
    ],
)
def test_what_would_lose_something_or_means_nothing_is_refused(told: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        configs(told)
    assert "TOPIC_CONFIG" in str(refused.value)


def test_more_copies_in_sync_than_there_are_copies_is_refused() -> None:
    with pytest.raises(SettingsError, match="TOPIC_MIN_INSYNC_REPLICAS"):
        load_topic_settings({"TOPIC_REPLICATION_FACTOR": "1", "TOPIC_MIN_INSYNC_REPLICAS": "2"})


def test_without_a_setting_there_are_as_many_copies_as_brokers_and_three_at_most() -> None:
    assert [TopicSettings().copies(brokers) for brokers in (0, 1, 2, 3, 9)] == [1, 1, 2, 3, 3]
    assert TopicSettings(replicas=2).copies(9) == 2


def test_a_topic_that_is_configured_otherwise_is_told_with_both_values() -> None:
    specs = [spec for spec in TopicSettings().specs(4) if spec.name == ORDERS_EVENTS]
    there = dict(specs[0].config)
    assert mismatches(specs, {ORDERS_EVENTS: there}) == []
    assert mismatches(specs, {ORDERS_EVENTS: {**there, "retention.ms": WEEK}}) == [
        f"{ORDERS_EVENTS}: retention.ms is {WEEK}, not -1"
    ]


def test_what_is_done_by_hand_after_an_erasure_is_refused_until_the_settings_say_so_as_the_document_tells() -> None:
    section = DOCUMENT.read_text().partition("## Erasing a customer")[2]
    by_hand = re.search(r"for topic in ((?:[\w.-]+|\s|\\)+); do", section)
    told = re.search(r'TOPIC_CONFIG="([^"]+)"', section)
    assert by_hand is not None
    assert told is not None
    topics = set(re.findall(r"[\w.-]{2,}", by_hand[1]))
    found = {spec.name: spec.config | ({"retention.ms": WEEK} if spec.name in topics else {}) for spec in specs("")}
    assert mismatches(specs(""), found) == [f"{name}: retention.ms is {WEEK}, not -1" for name in order(topics)]
    assert mismatches(specs(re.sub(r"\\\s+", "", told[1])), found) == []


def specs(told: str) -> list[TopicSpec]:
    return load_topic_settings({"TOPIC_CONFIG": told}).specs(4)


def order(topics: set[str]) -> list[str]:
    """As the contracts have them."""
    return [spec.name for spec in specs("") if spec.name in topics]
