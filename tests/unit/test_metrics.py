"""The metrics in the code are those of the vocabulary, and the vocabulary keeps to Prometheus' rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from metric_labels import LISTED, SHAPED, strangers
from prometheus_client import CollectorRegistry, generate_latest
from pydantic_core import to_json

from audit.watcher.book import Book, Sample
from audit.watcher.looks import Standing, lags
from audit.watcher.stories import Stories, step_of
from contracts import metrics
from contracts.metrics import DEAD_LETTER_REASONS, LABELS, Metric, vocabulary
from contracts.topics import COMMAND_TOPICS, SUBSCRIPTIONS
from messaging.meters import REJECTION_REASONS, Meters
from messaging.ports import Wire
from services.payment.gateway.ledger import MemoryLedger
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.gateway.suite import ManualClock
from services.payment.performer import REQUESTS, GatewayPerformer
from services.payment.state import End
from services.recommendation.learner.meters import TOPICS, LearnerMeters
from simulation.meters import NoMeters

ROOT = Path(__file__).resolve().parents[2]
CODE = ("messaging", "services", "audit", "orderctl", "provision")
#: Where the library's classes may be named: everything else goes through these.
MAKERS = {"messaging/meters.py", "messaging/logs.py", "audit/watcher/book.py"}
#: It reads what others tell, and makes nothing.
READER = "text_string_to_metric_families"
IDS = re.compile(r"(order|charge|reservation|customer|command|message|trace|user)_?id|sku|email|key")


def sources() -> Iterator[tuple[str, str]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


@pytest.mark.parametrize("metric", vocabulary().values(), ids=lambda metric: metric.name)
def test_a_name_says_its_unit_and_its_kind_and_its_labels_are_bounded(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|count|sum|bucket|info)$", metric.name)
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.help
    assert not metric.help.endswith(".")
    for label in metric.labels:
        assert label in LABELS, "a label of the vocabulary"
        assert not IDS.fullmatch(label), "an id is no label"


def test_every_constant_is_one_metric_and_no_name_is_taken_twice() -> None:
    constants = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    assert len(constants) == len(vocabulary())
    assert set(LABELS) == {label for metric in constants for label in metric.labels}


def test_every_value_of_every_label_is_known_beforehand() -> None:
    unlisted = {label for label, values in LABELS.items() if values is None}
    assert unlisted == LISTED.keys() | SHAPED.keys()
    assert not LISTED.keys() & SHAPED.keys()
    text = "\n".join(text for _, text in sources()) + (ROOT / "contracts" / "jsonguard.py").read_text()
    text += (ROOT / "contracts" / "envelope.py").read_text()
    made = r'(?:NotJsonError\(|Unreadable\(|PoisonError\(|DeadLetter\([\w.]+, |_set_aside\(message, )"([a-z0-9-]+)"'
    assert set(re.findall(made, text)) == DEAD_LETTER_REASONS


def counted(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """A counter's values, by its labels' values in the vocabulary's order."""
    return {
        tuple(sample.labels[label] for label in vocabulary()[name].labels): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_a_process_that_has_just_begun_tells_0_of_everything_whose_first_time_has_to_be_seen(service: str) -> None:
    registry = Meters(service).registry
    topics = SUBSCRIPTIONS[service]
    dead = {(service, topic, reason): 0.0 for topic in topics for reason in DEAD_LETTER_REASONS}
    assert counted(registry, "messaging_dead_letters_total") == dead
    rejected = {(service, topic, why): 0.0 for topic in topics for why in REJECTION_REASONS.get(topic, ())}
    assert counted(registry, "messaging_rejected_total") == rejected
    assert bool(rejected) == (service in ("orders", "inventory", "customer"))
    events = {(service, event): 0.0 for event in LABELS["event"] or ()}
    assert counted(registry, "messaging_events_total") == events
    forwarded = {(service, topic): 0.0 for topic in topics if topic in COMMAND_TOPICS}
    assert counted(registry, "messaging_forwarded_total") == forwarded


def test_so_do_the_learner_and_the_gateways_caller() -> None:
    dead = {(topic, reason): 0.0 for topic in TOPICS for reason in DEAD_LETTER_REASONS}
    assert counted(LearnerMeters().registry, "recommendation_learner_dead_letters_total") == dead
    gateway = SimulatedGateway(MemoryLedger(), ManualClock(), 0.0)
    calls = {(call, end.value): 0.0 for call in REQUESTS for end in End}
    assert counted(GatewayPerformer(gateway).registry, "payment_gateway_calls_total") == calls


def test_a_dead_letter_is_counted_where_its_0_stood() -> None:
    meters = Meters("payment")
    before = counted(meters.registry, "messaging_dead_letters_total")
    meters.dead_lettered("payment.commands.v1", "not-json")
    after = counted(meters.registry, "messaging_dead_letters_total")
    assert after == {**before, ("payment", "payment.commands.v1", "not-json"): 1.0}


def test_a_rejected_command_is_counted_by_its_topic_whatever_it_was_and_why() -> None:
    meters = Meters("orders")
    told = [
        ("orders.command-rejected.v1", "orders.approve-payment.v1", "too-late"),
        ("orders.command-accepted.v1", "orders.approve-payment.v1", ""),
        ("orders.command-rejected.v1", "orders.pause-order.v1", "not-allowed"),
        ("orders.command-rejected.v1", "nobody.knows-this.v1", "invalid"),
        ("orders.command-rejected.v1", "orders.approve-payment.v1", "too-late"),
    ]
    wires = [
        Wire(
            seq,
            "orders.events.v1",
            0,
            b"ORDER-7",
            to_json({"data": {"command_type": command, "reason": reason}}),
            type_,
        )
        for seq, (type_, command, reason) in enumerate(told)
    ]
    meters.published(wires)
    text = generate_latest(meters.registry).decode()
    assert list(strangers(text)) == []
    labels = (
        ("orders.commands.v1", "too-late"),
        ("orders.operations.v1", "not-allowed"),
        ("orders.commands.v1", "invalid"),
    )
    name = "messaging_rejected_total"
    counts = [
        meters.registry.get_sample_value(name, {"service": "orders", "topic": topic, "reason": reason})
        for topic, reason in labels
    ]
    assert counts == [2, 1, 1]


def test_a_sample_with_an_unknown_name_label_or_value_is_a_stranger() -> None:
    meters = Meters("orders")
    meters.dead_lettered("orders.commands.v1", "not-json")
    assert list(strangers(generate_latest(meters.registry).decode())) == []
    meters.dead_lettered("orders.commands.v1", "ORDER-7")
    meters.state(3, "lag", 7)
    found = list(strangers(generate_latest(meters.registry).decode()))
    assert found
    assert all("ORDER-7" in one for one in found)
    assert list(strangers('# TYPE orders_attention gauge\norders_attention{order_id="7"} 1\nmine 1\n')) == [
        "orders_attention {'order_id': '7'}",
        "mine {}",
    ]


def test_every_metric_of_the_vocabulary_is_told_by_some_process() -> None:
    names = [name for name, value in vars(metrics).items() if isinstance(value, Metric)]
    text = "\n".join(text for _, text in sources())
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_no_metric_is_made_beside_the_vocabulary() -> None:
    found = []
    for path, text in sources():
        for node in ast.walk(ast.parse(text)) if "prometheus_client" in text else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client"):
                taken = {alias.name for alias in node.names} - {
                    "CollectorRegistry",
                    "generate_latest",
                    "choose_encoder",
                    "Collector",
                    READER,
                }
                found += [(path, name) for name in taken if path not in MAKERS]
    assert found == []


def told(registry: CollectorRegistry) -> dict[str, set[str]]:
    """The families of a registry with the labels of their samples; the library's own families have no `_total`."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in registry.collect()
    }


def test_what_a_process_tells_stands_in_the_vocabulary_with_the_labels_it_has_there() -> None:
    meters, learner, watcher = Meters("orders"), LearnerMeters(), CollectorRegistry()
    meters.state(3, "lag", 7)
    meters.happened("fence-lost")
    Stories(watcher)
    for registry in (meters.registry, learner.registry, watcher):
        for name, labels in told(registry).items():
            assert labels <= set(vocabulary()[name].labels), name


def test_messages_are_counted_by_their_type_once_they_are_committed() -> None:
    meters = Meters("orders")
    wire = Wire(1, "orders.events.v1", 0, b"k", b"v", "orders.order-completed.v1")
    meters.published([wire, wire])
    meters.published([wire])
    labels = {"service": "orders", "type": wire.type}
    assert meters.registry.get_sample_value("messaging_published_total", labels) == 3


def test_what_a_source_did_not_tell_this_time_is_not_told_on() -> None:
    book, registry = Book(), CollectorRegistry()
    registry.register(book)
    book.write("orders", [Sample(metrics.ORDERS_ATTENTION, 2)])
    assert registry.get_sample_value("orders_attention") == 2
    book.write("orders", ())
    assert registry.get_sample_value("orders_attention") is None


def test_lag_is_summed_over_partitions_and_only_a_partition_with_lag_stands_still() -> None:
    rows = [
        {"topic": "t", "partition": 0, "next_offset": 10, "still_s": 500.0},
        {"topic": "t", "partition": 1, "next_offset": 3, "still_s": 20.0},
    ]
    found = list(lags("orders", rows, {("t", 0): 10, ("t", 1): 8}))
    assert found == [
        Sample(metrics.CONSUMER_LAG, 5, ("orders", "t")),
        Sample(metrics.CONSUMER_STILL, 20.0, ("orders",)),
    ]


def test_a_group_on_the_broker_stands_still_since_it_was_seen_to_be_behind_and_to_have_committed_nothing_more() -> None:
    standing, topic = Standing(), "recommendation.baskets.v1"

    def told(committed: int, end: int, now_s: float) -> tuple[float, float]:
        ends = {(topic, 0): end, (topic, 1): 0, ("not-its-own", 0): 9}
        lag, still = standing.look("recommendation-learner", {(topic, 0): committed}, ends, now_s)
        assert (lag.metric, lag.labels) == (metrics.CONSUMER_LAG, ("recommendation-learner", topic))
        assert (still.metric, still.labels) == (metrics.CONSUMER_STILL, ("recommendation-learner",))
        return lag.value, still.value

    assert told(3, 8, now_s=1000) == (5, 0), "who begins to watch has seen nothing yet"
    assert told(3, 9, now_s=1015) == (6, 15)
    assert told(3, 9, now_s=1090) == (6, 90)
    assert told(4, 9, now_s=1105) == (5, 0), "progress"
    assert told(9, 9, now_s=1120) == (0, 0)
    assert told(9, 9, now_s=5000) == (0, 0)
    assert told(9, 10, now_s=5015) == (1, 15), "at most since the last look it is behind"


def test_of_a_partition_without_a_commit_all_is_waited_for_and_of_a_group_that_never_committed_nothing_is_told() -> (
    None
):
    ends = {("t", 0): 4, ("t", 1): 6}
    found = Standing().look("recommendation-learner", {("t", 0): 4}, ends, 1.0)
    assert found[0] == Sample(metrics.CONSUMER_LAG, 6, ("recommendation-learner", "t"))
    assert Standing().look("recommendation-learner", {}, ends, 1.0) == []


@pytest.mark.parametrize(
    ("type_", "step"),
    [
        ("orders.stock-reserved.v1", "stock-reserved"),
        ("orders.command-accepted.v1", None),
        ("orders.retry-scheduled", None),
    ],
)
def test_a_step_ends_with_an_event_of_the_order_not_with_a_verdict_or_a_note(type_: str, step: str | None) -> None:
    assert step_of(type_) == step


def test_the_simulations_meters_say_nothing_of_everything() -> None:
    told = {name for name, value in vars(Meters).items() if callable(value) and not name.startswith("_")}
    assert told <= vars(NoMeters).keys()
