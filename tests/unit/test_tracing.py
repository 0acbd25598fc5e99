"""What spans follow from messages, batches, publications and calls: one trace for each key, whoever takes part."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, StartOrder
from contracts.values import Item
from messaging.decision import Effect, Message
from messaging.errors import SettingsError
from messaging.otlp import load_trace_settings, open_traces
from messaging.ports import Wire
from messaging.stamp import trace_id_of
from messaging.tracing import Place, Span, Tracer, place_in
from services.orders.app import ENDS
from simulation.system import System

ROOT = Path(__file__).resolve().parents[2]
#: What the spans of an order come from.
TRACED = ("orders", "inventory", "payment", "customer", "notification", "recommendation")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CLIENT = Place(0xABC, 0xDEF)
COMMAND = Message(
    "orders.start-order.v1",
    "o-1",
    None,
    "c-1",
    "shop",
    NOW,
    "topic/0/7",
    f"00-{CLIENT.trace:032x}-{CLIENT.span:016x}-01",
)


class Told:
    """Spans, as they come."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def __call__(self, spans: list[Span]) -> None:
        self.spans += spans

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def handle(tracer: Tracer, *messages: Message, asked: dict[str, Message] | None = None) -> None:
    tracer.committed(0, tracer.batch(), messages, (), asked or {})


def test_a_whole_order_is_one_tree_across_all_services() -> None:
    told = Told()
    system = System(seed=1)
    for process in system.processes:
        for lane in process.lanes:
            lane.worker.tracer = Tracer(process.service, told, ENDS)
    system.command("tea", ReceiveStock(sku="tea", quantity=5, unit_price_minor=100))
    system.command("ann", RegisterCustomer(customer_id="ann", name="Ann", email="ann@example.com"))
    system.run()
    system.command("o-1", StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=1),), workflow_version=1))
    system.command("o-1", ApprovePayment(approved_by="bob"))
    system.finish()
    trace = trace_id_of("o-1")
    mine = {span.at.span: span for span in told.spans if span.at.trace == trace}
    assert {span.facts["service"] for span in mine.values()} >= {"orders", "inventory", "payment", "notification"}
    (root,) = (span for span in mine.values() if span.parent is None)
    assert root.name == "order"
    assert root.facts["ended_by"] == "orders.order-completed.v1"
    # The calls outside are made by the simulation's hand, not by a runner: what follows from them hangs on no span here.
    calls = {span.parent for span in mine.values() if span.parent not in mine} - {None}
    outcomes = [span for span in mine.values() if span.parent in calls]
    assert {span.name for span in outcomes} == {"process effect.charge", "process effect.send-mail"}
    for span in mine.values():
        top = span
        while top.parent in mine:
            top = mine[top.parent]
        assert top is root or top in outcomes


def test_what_is_decided_together_is_linked_to_its_batch_with_its_phases() -> None:
    told = Told()
    tracer = Tracer("orders", told)
    batch = tracer.batch()
    batch.phase("decide", 0.001)
    batch.phase("commit", 0.002)
    other = COMMAND._replace(key="o-2", uid="topic/0/8", traceparent=None)
    tracer.committed(0, batch, [COMMAND, other], (), {})
    assert [span.links[0] for span in told.named("process orders.start-order.v1")] == [batch.at] * 2
    (whole,) = told.named("orders batch")
    assert (whole.at, whole.facts["messages"]) == (batch.at, 2)
    phases = told.named("decide") + told.named("commit")
    assert [span.parent for span in phases] == [batch.at.span] * 2
    assert [span.ended_ns - span.began_ns for span in phases] == [1_000_000, 2_000_000]


def test_what_is_handled_in_no_batch_hangs_on_its_publication_like_any_other() -> None:
    told = Told()
    at = Place(trace_id_of("o-1"), 0x1234)
    ended = COMMAND._replace(traceparent=f"00-{at.trace:032x}-{at.span:016x}-00")
    Tracer("recommendation-learner", told).handled(ended, 1)
    Tracer("recommendation-learner", told, ratio=0).handled(ended, 1)
    (span,) = told.spans
    assert (span.at.trace, span.parent, span.began_ns, span.links) == (at.trace, at.span, 1, ())
    assert span.facts["service"] == "recommendation-learner"


def test_a_clients_trace_is_linked_and_not_gone_on_with() -> None:
    told = Told()
    handle(Tracer("orders", told), COMMAND)
    (span,) = told.named("process orders.start-order.v1")
    assert span.at.trace == trace_id_of("o-1")
    assert CLIENT in span.links


def test_a_call_hangs_on_what_asked_for_it_and_each_failed_try_is_told() -> None:
    told = Told()
    tracer = Tracer("payment", told)
    effect = Effect("o-1", "e-1", "charge", None)
    handle(tracer, COMMAND, asked={"e-1": COMMAND})
    tracer.performed(effect, 1, "GatewayError")
    tracer.performed(effect, 2)
    outcome = Message("effect.charge", "o-1", None, "effect/e-1", "payment", NOW, "effect/e-1")
    handle(tracer, outcome)
    failed, done = told.named("effect charge")
    (asking,), (heard,) = told.named("process orders.start-order.v1"), told.named("process effect.charge")
    assert (failed.error, done.error) == ("GatewayError", None)
    assert failed.parent == done.parent == asking.at.span
    assert heard.parent == done.at.span != failed.at.span


def test_what_a_predecessor_left_unpublished_is_told_as_part_of_its_order() -> None:
    told = Told()
    at = Place(trace_id_of("o-1"), 0x1234)
    value = f'{{"traceparent":"00-{at.trace:032x}-{at.span:016x}-00"}}'.encode()
    foreign = b'{"traceparent":"00-' + b"a" * 32 + b"-" + b"b" * 16 + b'-01"}'
    wires = [Wire(1, "t", 0, b"o-1", value, "event.v1"), Wire(2, "t", 0, b"o-1", foreign, "event.v1")]
    Tracer("orders", told).published(0, [*wires, Wire(3, "t", 0, b"o-1", None, "event.v1")])
    (span,) = told.spans
    assert (span.at, span.name, span.kind) == (at, "publish event.v1", "producer")


def test_a_part_of_all_keys_is_traced_and_by_everyone_the_same() -> None:
    keys = [f"o-{number}" for number in range(400)]

    def traced(service: str) -> set[object]:
        told = Told()
        handle(Tracer(service, told, ratio=0.25), *(COMMAND._replace(key=key, uid=key) for key in keys))
        return {span.facts["key"] for span in told.spans if "key" in span.facts}

    assert traced("orders") == traced("payment")
    assert 60 < len(traced("orders")) < 140


def test_tracing_is_off_unless_a_collector_is_named_and_a_bad_setting_is_refused_by_name() -> None:
    assert load_trace_settings({}) is None
    assert open_traces(None, "orders", "me") is None
    for name, value in (("OTEL_EXPORTER_OTLP_ENDPOINT", "somewhere:4318"), ("OTEL_TRACES_SAMPLER_ARG", "2")):
        with pytest.raises(SettingsError, match=name):
            load_trace_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", name: value})


def test_what_is_off_is_not_even_imported() -> None:
    look = "import sys; print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    load = "; ".join(f"import services.{name}.app" for name in (*TRACED, "recommendation.learner"))
    asked = f"{load}; from messaging.otlp import load_trace_settings as l, open_traces; open_traces(l({{}}), 'x', 'y'); {look}"
    told = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == "[]"


def test_only_a_well_formed_traceparent_names_a_span() -> None:
    assert place_in(COMMAND.traceparent) == CLIENT
    assert [place_in(bad) for bad in (None, "", "00-1-2-3", "00-" + "g" * 32 + "-" + "0" * 16 + "-00")] == [None] * 4
