"""The topics of the system, who reads them, and the dead-letter topics that follow from that.

All topics have the same number of partitions and are keyed alike, so that one process can own partition *p* of everything
that a service reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

ORDERS_COMMANDS: Final = "orders.commands.v1"
ORDERS_OPERATIONS: Final = "orders.operations.v1"
ORDERS_EVENTS: Final = "orders.events.v1"
INVENTORY_COMMANDS: Final = "inventory.commands.v1"
INVENTORY_EVENTS: Final = "inventory.events.v1"
PAYMENT_COMMANDS: Final = "payment.commands.v1"
PAYMENT_EVENTS: Final = "payment.events.v1"
CUSTOMER_COMMANDS: Final = "customer.commands.v1"
CUSTOMER_EVENTS: Final = "customer.events.v1"
RECOMMENDATION_COMMANDS: Final = "recommendation.commands.v1"
RECOMMENDATION_EVENTS: Final = "recommendation.events.v1"
#: What operators asked about dead letters, and what became of them.
LETTERS_EVENTS: Final = "letters.events.v1"
#: What the stream processor has learned, a record per SKU; compacted, so that it can be read from its beginning.
RECOMMENDATION_PAIRS: Final = "recommendation.pairs.v1"
#: Between the two steps of the stream processor: which order held which SKUs, keyed by SKU.
RECOMMENDATION_BASKETS: Final = "recommendation.baskets.v1"
#: The stream processor's table, from which a process that starts reads it back; compacted.
RECOMMENDATION_CHANGELOG: Final = "recommendation.baskets-changelog.v1"
#: The stream processor; no service of the runtime, so that it stands in no subscription.
RECOMMENDATION_LEARNER: Final = "recommendation-learner"

DEFAULT_PARTITIONS: Final = 4

#: A dead letter is what was sent and why it could not be handled: its topics take more than a broker takes from anybody else.
MAX_DEAD_LETTER_BYTES: Final = 2 * 1024 * 1024

#: What each service reads; its own command topic comes first, because that topic's assignment decides who owns a partition.
SUBSCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "orders": (
        ORDERS_COMMANDS,
        ORDERS_OPERATIONS,
        INVENTORY_EVENTS,
        PAYMENT_EVENTS,
        CUSTOMER_EVENTS,
        RECOMMENDATION_EVENTS,
    ),
    "inventory": (INVENTORY_COMMANDS, ORDERS_EVENTS),
    "payment": (PAYMENT_COMMANDS,),
    "customer": (CUSTOMER_COMMANDS, ORDERS_EVENTS),
    "recommendation": (RECOMMENDATION_COMMANDS,),
    "notification": (ORDERS_EVENTS, CUSTOMER_EVENTS),
}

#: Topics on which clients and operators ask; everything that stands there is checked strictly and may come from any producer.
COMMAND_TOPICS: Final = frozenset(
    {
        ORDERS_COMMANDS,
        ORDERS_OPERATIONS,
        INVENTORY_COMMANDS,
        PAYMENT_COMMANDS,
        CUSTOMER_COMMANDS,
        RECOMMENDATION_COMMANDS,
    }
)
#: Of these, those on which only the orchestrator asks. What is wrong there is a dead letter: there is no verdict for anybody else.
UNANSWERED_TOPICS: Final = frozenset({PAYMENT_COMMANDS, RECOMMENDATION_COMMANDS})

EVENT_TOPICS: Final = frozenset(
    {ORDERS_EVENTS, INVENTORY_EVENTS, PAYMENT_EVENTS, CUSTOMER_EVENTS, RECOMMENDATION_EVENTS, LETTERS_EVENTS}
)


def dead_letter_topic(topic: str, service: str) -> str:
    """The topic that takes what `service` could not handle from `topic`."""
    return f"{topic}.{service}.dlq"


def dead_letter_topics() -> list[tuple[str, str]]:
    """Every dead-letter topic, with the service that writes it."""
    found = [(dead_letter_topic(topic, name), name) for name, topics in SUBSCRIPTIONS.items() for topic in topics]
    return sorted([*found, (dead_letter_topic(ORDERS_EVENTS, RECOMMENDATION_LEARNER), RECOMMENDATION_LEARNER)])


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as the stack has to create it. `config` holds Kafka's own topic settings."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def all_topics(partitions: int = DEFAULT_PARTITIONS) -> list[TopicSpec]:
    """Every topic of the system, dead letters included.

    The broker stamps each record when it appends it (`LogAppendTime`): a timer is compared with the time at which a
    record was appended, and a client's clock must have no say in that. And it stores what came compressed as it reads: our
    readers know gzip alone of the codecs that others use, and what only fits compressed is refused at its sender's.
    """
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", "compression.type": "uncompressed"}
    names = sorted(COMMAND_TOPICS | EVENT_TOPICS)
    roomy = {**config, "max.message.bytes": str(MAX_DEAD_LETTER_BYTES)}
    return [
        *(TopicSpec(name, partitions, dict(config)) for name in names),
        *(TopicSpec(name, partitions, dict(roomy)) for name, _ in dead_letter_topics()),
        TopicSpec(RECOMMENDATION_BASKETS, partitions, dict(config)),
        *(
            TopicSpec(name, partitions, {"cleanup.policy": "compact"})
            for name in (RECOMMENDATION_PAIRS, RECOMMENDATION_CHANGELOG)
        ),
    ]
