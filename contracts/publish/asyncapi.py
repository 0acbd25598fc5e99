"""The AsyncAPI 3 document: every topic with its key, every message with its schema and an example, who sends and who receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.envelope import CONTENT_TYPE, STRUCTURED, TYPE_HEADER
from contracts.publish.schemas import Schema
from contracts.topics import (
    COMMAND_TOPICS,
    LETTERS_EVENTS,
    MAX_DEAD_LETTER_BYTES,
    ORDERS_COMMANDS,
    ORDERS_EVENTS,
    ORDERS_OPERATIONS,
    SUBSCRIPTIONS,
    all_topics,
)
from contracts.values import MAX_RECORD_BYTES

Document = dict[str, Any]

VERSION: Final = "1.0.0"
DEFAULT_BROKERS: Final = "localhost:9092"

_BINDING: Final = "0.5.0"
#: `<topic>.<service>.dlq`, where something is set aside that could not be handled; it has no schema of its own.
_DEAD_LETTERS: Final = ".dlq"
_ABOUT: Final = (
    "Orders on Kafka. A command on a command topic gets a verdict on the events topic of its service, under the same key; "
    f"what became of an order is told by events on {ORDERS_EVENTS}. Every message is a CloudEvent 1.0 in structured mode, "
    "with the record's key equal to its `subject`. On the command topics binary mode is understood too: the attributes are "
    "headers `ce_*`, and the record's value is what stands under `data` here. docs/contract.md tells it at length."
)
_KEYS: Final = {
    "orders": "the order id",
    "inventory": "the order id; the SKU for what those who run the shop ask, and its answers",
    "payment": "the order id",
    "customer": "the order id; the customer id for what those who run the shop ask, and its answers",
    "recommendation": "the order id",
    "letters": "the key of the letter's message; the service's name where the letter holds none that can be read",
}


def document(
    schemas: Mapping[str, Schema], samples: Mapping[str, Document], brokers: Sequence[str] | None = None
) -> Document:
    """The whole contract in one document. `samples`: the example of each message. `brokers`: `host:port` of each; None leaves
    them open, as a variable."""
    by_topic: dict[str, list[str]] = {}
    for name, schema in schemas.items():
        by_topic.setdefault(schema["x-topic"], []).append(name)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Order processing", "version": VERSION, "description": _ABOUT},
        "defaultContentType": STRUCTURED,
        "servers": _servers(brokers),
        "channels": _channels(by_topic),
        "operations": _operations(by_topic),
        "components": {"messages": {name: _message(schemas[name], samples[name]) for name in schemas}},
    }


def _servers(brokers: Sequence[str] | None) -> Document:
    if brokers is None:
        variable = {"default": DEFAULT_BROKERS, "description": "What KAFKA_BOOTSTRAP_SERVERS says, `host:port`."}
        return {"kafka": {"host": "{brokers}", "protocol": "kafka", "variables": {"brokers": variable}}}
    return {f"kafka-{number}": {"host": host, "protocol": "kafka"} for number, host in enumerate(brokers, 1)}


def _channels(by_topic: Mapping[str, Sequence[str]]) -> Document:
    found: Document = {}
    for spec in all_topics():
        if spec.name in by_topic:
            messages = {name: {"$ref": f"#/components/messages/{name}"} for name in by_topic[spec.name]}
            about = f"Record key: {_KEYS[_service(spec.name)]}. A record holds {MAX_RECORD_BYTES} bytes at most."
        elif spec.name.endswith(_DEAD_LETTERS):
            messages = {}
            about = (
                "Records that could not be handled: key, value and headers as they came, and headers `dlq-reason`, `dlq-error`, "
                f"`dlq-topic`, `dlq-partition`, `dlq-offset`, `dlq-time`; `dlq-lane` names the key whose "
                f"later records wait. A record holds {MAX_DEAD_LETTER_BYTES} bytes at most."
            )
        else:
            continue  # between the steps of one service: nobody else's business
        binding = {"topic": spec.name, "partitions": spec.partitions, "bindingVersion": _BINDING}
        found[spec.name] = {
            "address": spec.name,
            "description": about,
            "messages": messages,
            "bindings": {"kafka": binding},
        }
    return found


def _operations(by_topic: Mapping[str, Sequence[str]]) -> Document:
    """Who sends and receives: each service for itself, and whoever asks it something."""
    found: Document = {}
    for topic in sorted(by_topic):
        for sender, title in _senders(topic):
            found[f"{sender}-sends-{topic}"] = _operation("send", topic, f"{title} to {topic}")
        for service, topics in SUBSCRIPTIONS.items():
            if topic in topics:
                received = _operation("receive", topic, f"The {service} service reads {topic}")
                found[f"{service}-receives-{topic}"] = {**received, **_reply(topic)}
    return found


def _senders(topic: str) -> list[tuple[str, str]]:
    service = _service(topic)
    if topic == ORDERS_COMMANDS:
        return [("client", "A client writes")]
    if topic == ORDERS_OPERATIONS:
        return [("operator", "An operator writes")]
    if topic == LETTERS_EVENTS:
        return [("operator", "An operator writes"), *((name, f"The {name} service writes") for name in SUBSCRIPTIONS)]
    if topic not in COMMAND_TOPICS:
        return [(service, f"The {service} service writes")]
    shop = [("shop", "Those who run the shop write")] if service in ("inventory", "customer") else []
    return [("orders", "The orders service writes"), *shop]


def _operation(action: str, topic: str, summary: str) -> Document:
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "summary": f"{summary}."}


def _reply(topic: str) -> Document:
    """Where the answer stands. Clients and operators get one of two verdicts; elsewhere each message says what it answers."""
    if topic not in COMMAND_TOPICS:
        return {}
    events = f"{_service(topic)}.events.v1"
    reply: Document = {"channel": {"$ref": f"#/channels/{events}"}}
    if events == ORDERS_EVENTS:
        verdicts = ("orders.command-accepted.v1", "orders.command-rejected.v1")
        reply["messages"] = [{"$ref": f"#/channels/{events}/messages/{name}"} for name in verdicts]
    return {"reply": reply}


def _message(schema: Schema, sample: Document) -> Document:
    name = schema["title"]
    key = schema["properties"]["subject"]
    headers = {
        "type": "object",
        "properties": {CONTENT_TYPE: {"type": "string"}, TYPE_HEADER: {"const": name}},
    }
    return {
        "name": name,
        "title": name,
        "summary": schema["description"],
        "contentType": STRUCTURED,
        "tags": [{"name": schema["x-kind"]}, {"name": _service(name)}],
        "headers": headers,
        "payload": {key: value for key, value in schema.items() if key not in ("$schema", "$id")},
        "bindings": {"kafka": {"key": {**key, "description": "The subject, as UTF-8."}, "bindingVersion": _BINDING}},
        "examples": [{"name": "sample", "headers": {CONTENT_TYPE: STRUCTURED, TYPE_HEADER: name}, "payload": sample}],
    }


def _service(name: str) -> str:
    return name.partition(".")[0]
