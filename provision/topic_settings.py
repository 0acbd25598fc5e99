"""What of the topics is for those who run them to say: copies, retention, compaction. Pure; `topics.py` asks the broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from contracts.topics import TopicSpec, all_topics
from messaging.errors import SettingsError
from messaging.setting import Integer, OptionalText, Setting

REPLICATION_FACTOR: Final = Integer(
    "TOPIC_REPLICATION_FACTOR", 0, 0, 9, "copies of each topic; 0: as many as there are brokers, 3 at most"
)
MIN_INSYNC_REPLICAS: Final = Integer(
    "TOPIC_MIN_INSYNC_REPLICAS", 1, 1, 9, "how many copies must have a record before it counts as written"
)
CONFIG: Final = OptionalText(
    "TOPIC_CONFIG",
    "retention and compaction of single topics, or of all dead letters as `*.dlq`",
    "`TOPIC:KEY=VALUE`, several separated by commas, or empty",
)
SETTINGS: Final[tuple[Setting, ...]] = (REPLICATION_FACTOR, MIN_INSYNC_REPLICAS, CONFIG)

POLICY: Final = "cleanup.policy"
#: What may be said of a topic, and the least number that it may be; the policy is a word.
KEYS: Final[Mapping[str, int]] = {
    "retention.ms": -1,
    "retention.bytes": -1,
    "segment.ms": 1,
    "delete.retention.ms": 0,
    "min.compaction.lag.ms": 0,
    "max.compaction.lag.ms": 1,
}
DEAD_LETTERS: Final = "*.dlq"
MOST_REPLICAS: Final = 3


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """`replicas`: 0 leaves it to the number of brokers."""

    replicas: int = 0
    min_insync: int = 1
    config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def specs(self, partitions: int) -> list[TopicSpec]:
        """The contract's topics, with what was said of them."""
        return [replace(spec, config=self._config(spec)) for spec in all_topics(partitions)]

    def copies(self, brokers: int) -> int:
        """How many each topic has, with so many brokers."""
        return self.replicas or min(MOST_REPLICAS, max(1, brokers))

    def _config(self, spec: TopicSpec) -> dict[str, str]:
        letters = self.config.get(DEAD_LETTERS, {}) if spec.name.endswith(".dlq") else {}
        said = self.config.get(spec.name, {})
        return {**spec.config, "min.insync.replicas": str(self.min_insync), **letters, **said}


def load_topic_settings(env: Mapping[str, str]) -> TopicSettings:
    """Raises `SettingsError`."""
    found = TopicSettings(REPLICATION_FACTOR.read(env), MIN_INSYNC_REPLICAS.read(env), _config(CONFIG.read(env) or ""))
    if found.replicas and found.min_insync > found.replicas:
        raise SettingsError(
            f"{MIN_INSYNC_REPLICAS.name} ({found.min_insync}) must not be more than {REPLICATION_FACTOR.name} ({found.replicas})."
        )
    return found


def _config(told: str) -> dict[str, dict[str, str]]:
    policies = {spec.name: spec.config.get(POLICY, "delete") for spec in all_topics()} | {DEAD_LETTERS: "delete"}
    found: dict[str, dict[str, str]] = {}
    for part in (part.strip() for part in told.split(",") if part.strip()):
        topic, colon, assignment = part.partition(":")
        key, equals, value = assignment.partition("=")
        if not colon or not equals or topic not in policies:
            raise SettingsError(
                f"{CONFIG.name} must be {CONFIG.allowed}; {part!r} names no topic of ours, or no value."
            )
        if key == POLICY:
            _check_policy(topic, value, policies[topic])
        elif key not in KEYS:
            raise SettingsError(f"{CONFIG.name} may say {', '.join([*KEYS, POLICY])} of a topic, not {key!r}.")
        elif not _is_number(value, KEYS[key]):
            raise SettingsError(
                f"{CONFIG.name}: {key} of {topic} must be a whole number from {KEYS[key]}, not {value!r}."
            )
        found.setdefault(topic, {})[key] = value.replace("+", ",")
    return found


def _is_number(value: str, least: int) -> bool:
    return value.removeprefix("-").isdigit() and int(value) >= least


def _check_policy(topic: str, value: str, ours: str) -> None:
    """A topic that is read from its beginning must keep each key's last record; of all others that would not be enough."""
    if ours == "compact" and value not in ("compact", "compact+delete"):
        raise SettingsError(
            f"{CONFIG.name}: {POLICY} of {topic} must be compact or compact+delete: it is read back as a table."
        )
    if ours == "delete" and value != "delete":
        raise SettingsError(
            f"{CONFIG.name}: {POLICY} of {topic} must be delete: compaction would keep an order's last event alone."
        )


def mismatches(specs: Sequence[TopicSpec], found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Where topics that are there are configured otherwise than they should be, one line each."""
    return [
        f"{spec.name}: {key} is {found[spec.name].get(key)}, not {value}"
        for spec in specs
        for key, value in sorted(spec.config.items())
        if found[spec.name].get(key) != value
    ]
