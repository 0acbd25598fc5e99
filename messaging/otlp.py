"""Spans to an OpenTelemetry collector, over OTLP and HTTP. Off, and not even imported, unless a collector is named.

The SDK's own tracing follows tasks and keeps a context in each; here a batch of messages is one task, and the ids are known.
So the spans come ready made (`messaging.tracing`), and the SDK batches and sends them, in a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from messaging.setting import Number, OptionalUrl, Setting
from messaging.tracing import Place, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

ENDPOINT: Final = OptionalUrl(
    "OTEL_EXPORTER_OTLP_ENDPOINT", "where the collector for traces takes OTLP over HTTP; without it nothing is traced"
)
RATIO: Final = Number("OTEL_TRACES_SAMPLER_ARG", 1, 0, 1, "the part of all orders that is traced")
SETTINGS: Final[tuple[Setting, ...]] = (ENDPOINT, RATIO)
#: Spans that wait to be sent; more are dropped, never waited for.
MAX_QUEUED: Final = 20_000
SEND_EVERY_MS: Final = 1_000
SEND_TIMEOUT_S: Final = 5
FLUSH_TIMEOUT_MS: Final = 1_500


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where to send spans, and of which part of all keys."""

    endpoint: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Traces:
    """An open way to the collector. `close` sends what waits, for at most `FLUSH_TIMEOUT_MS`."""

    tracer: Tracer
    close: Callable[[], None]


def load_trace_settings(env: Mapping[str, str] = os.environ) -> TraceSettings | None:
    """OpenTelemetry's own variables. None: no collector is named. Raises `SettingsError`."""
    endpoint, ratio = ENDPOINT.read(env), RATIO.read(env)
    return TraceSettings(endpoint, ratio) if endpoint else None


def open_traces(
    settings: TraceSettings | None, service: str, identity: str, ends: frozenset[str] = frozenset()
) -> Traces | None:
    """Begin to send, where a collector is named. One that is away costs nothing but the spans."""
    if settings is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource({"service.name": service, "service.instance.id": identity})
    processor = BatchSpanProcessor(
        OTLPSpanExporter(f"{settings.endpoint}/v1/traces", timeout=SEND_TIMEOUT_S),
        max_queue_size=MAX_QUEUED,
        schedule_delay_millis=SEND_EVERY_MS,
    )

    def export(spans: Sequence[Span]) -> None:
        for span in spans:
            processor.on_end(_readable(span, resource))

    def close() -> None:
        processor.force_flush(FLUSH_TIMEOUT_MS)
        processor.shutdown()  # type: ignore[no-untyped-call]

    return Traces(Tracer(service, export, ends, settings.ratio), close)


def _readable(span: Span, resource: object) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode  # noqa: PLC0415

    return ReadableSpan(
        name=span.name,
        context=_context(span.at),
        parent=None if span.parent is None else _context(Place(span.at.trace, span.parent)),
        resource=resource,  # type: ignore[arg-type]
        attributes=dict(span.facts),
        links=[Link(_context(link)) for link in span.links],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.began_ns,
        end_time=span.ended_ns,
    )


def _context(place: Place) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415

    return SpanContext(place.trace, place.span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
