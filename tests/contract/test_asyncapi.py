"""The AsyncAPI document is valid and tells all topics, messages and keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest

from contracts.publish import files
from contracts.publish.__main__ import main
from contracts.publish.asyncapi import document
from contracts.publish.schemas import message_schemas
from contracts.topics import COMMAND_TOPICS, EVENT_TOPICS, SUBSCRIPTIONS, all_topics

OFFICIAL: Final = Path(__file__).parent / "asyncapi" / "3.0.0.json"
OFFICIAL_SHA256: Final = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
SCHEMAS: Final = message_schemas()
SAMPLES: Final = files.read_schemas(files.SAMPLES)
DOCUMENT: Final = document(SCHEMAS, SAMPLES)


def problems(found: dict[str, Any]) -> list[str]:
    official = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text()))
    return [f"{error.instance_path}: {error.message[:300]}" for error in official.iter_errors(found)]


def test_the_schema_of_asyncapi_is_the_official_one() -> None:
    assert hashlib.sha256(OFFICIAL.read_bytes()).hexdigest() == OFFICIAL_SHA256


@pytest.mark.parametrize("brokers", [None, ["localhost:9092"], ["one:9092", "two:9092"]])
def test_the_document_is_valid_asyncapi(brokers: list[str] | None) -> None:
    assert problems(document(SCHEMAS, SAMPLES, brokers)) == []


def test_a_broken_document_is_not_valid() -> None:
    assert problems({**DOCUMENT, "channels": {"orders.commands.v1": {"address": 7}}})
    assert problems({**DOCUMENT, "operations": {"one": {"action": "publish"}}})


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> list[str]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [node["$ref"]] if isinstance(node, dict) and "$ref" in node else []
        return own + [found for child in children for found in references(child)]

    found = references(DOCUMENT)
    assert len(found) > len(SCHEMAS)
    for reference in found:
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_topic_that_others_see_is_a_channel() -> None:
    dead = {spec.name for spec in all_topics() if spec.name.endswith(".dlq")}
    assert set(DOCUMENT["channels"]) == COMMAND_TOPICS | EVENT_TOPICS | dead


def test_every_message_stands_on_its_topic_with_its_key_and_an_example_that_validates() -> None:
    for name, schema in SCHEMAS.items():
        assert name in DOCUMENT["channels"][schema["x-topic"]]["messages"]
        message = DOCUMENT["components"]["messages"][name]
        assert message["bindings"]["kafka"]["key"]["maxLength"] == 64
        jsonschema_rs.validate(message["payload"], message["examples"][0]["payload"])
        jsonschema_rs.validate(message["headers"], message["examples"][0]["headers"])


def test_both_ways_are_told_for_every_topic() -> None:
    told = {(one["action"], one["channel"]["$ref"].rpartition("/")[2]) for one in DOCUMENT["operations"].values()}
    assert {topic for action, topic in told if action == "send"} == COMMAND_TOPICS | EVENT_TOPICS
    read = {topic for topics in SUBSCRIPTIONS.values() for topic in topics}
    assert {topic for action, topic in told if action == "receive"} == read


def test_the_brokers_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:9092,two:9093")
    assert main(["asyncapi"]) == 0
    servers = json.loads(capsys.readouterr().out)["servers"]
    assert [server["host"] for server in servers.values()] == ["one:9092", "two:9093"]
