"""Which spans follow from the work on messages: one trace for each key, so that everything about an order is in one.

Trace and span ids follow from what they are about, as the messages' own ids do. Whoever reads a message finds its publishing span
in the message's `traceparent`, without anything being handed over; and a process that takes over makes the same spans.

    order (the whole of it, told when it ends)
      process TYPE   one message decided by one service; linked to the batch that it was decided in, where there was one
        publish TYPE   from the commit to the broker's acknowledgement
        effect KIND    the call outside (the gateway, the mail server)

Batches have traces of their own, with their phases. Nothing of a message's content goes into a span.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import randbits
from typing import Final, Literal, NamedTuple, TypeVar

from messaging.decision import Effect, Message
from messaging.ports import Wire
from messaging.stamp import Stamped, derived_id, trace_id_of

Kind = Literal["internal", "consumer", "producer", "client"]
#: So many keys, publications and effects under way are remembered; of one that is not, less is told.
REMEMBERED: Final = 100_000

_TRACEPARENT: Final = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_IN_VALUE: Final = re.compile(rb'"traceparent":"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"')


class Place(NamedTuple):
    """A span's place: what others refer to it by."""

    trace: int
    span: int


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. Times are nanoseconds since 1970; `error` is the name of what went wrong."""

    at: Place
    parent: int | None
    name: str
    kind: Kind
    began_ns: int
    ended_ns: int
    facts: Mapping[str, str | int]
    links: tuple[Place, ...] = ()
    error: str | None = None


K = TypeVar("K")
V = TypeVar("V")
Export = Callable[[Sequence[Span]], None]


class TracedBatch:
    """One batch's phases, as `Meters.phase` times them."""

    __slots__ = ("at", "began_ns", "phases")

    def __init__(self, began_ns: int) -> None:
        self.at = Place(randbits(128) or 1, randbits(64) or 1)
        self.began_ns = began_ns
        self.phases: list[tuple[str, int, int]] = []

    def phase(self, name: str, took_s: float) -> None:
        """A phase has just ended."""
        now = time.time_ns()
        self.phases.append((name, now - int(took_s * 1e9), now))


class Tracer:
    """Makes the spans of one process. `ends`: the types of the events that end what a key is about; the spans of keys whose trace
    is not in the first `ratio` of all are left out, by every service alike."""

    def __init__(self, service: str, export: Export, ends: frozenset[str] = frozenset(), ratio: float = 1.0) -> None:
        self._service = service
        self._export = export
        self._ends = ends
        self._bound = int(ratio * (1 << 64))
        self._begun: OrderedDict[int, int] = OrderedDict()
        self._said: OrderedDict[tuple[int, int], tuple[Place, int]] = OrderedDict()
        self._asked: OrderedDict[str, Place] = OrderedDict()

    def batch(self) -> TracedBatch:
        """A batch begins."""
        return TracedBatch(time.time_ns())

    def committed(
        self,
        partition: int,
        batch: TracedBatch,
        messages: Iterable[Message],
        stamped: Iterable[Stamped],
        asked: Mapping[str, Message],
    ) -> None:
        """A batch is committed: these messages were decided, this was said, and these effects (by their id) asked for."""
        now = time.time_ns()
        sampled = [message for message in messages if self._sampled(message.key)]
        spans = [self._process(message, batch.began_ns, now, (batch.at,)) for message in sampled]
        if spans:
            spans += self._phases(batch, now, len(spans))
        for said in stamped:
            if said.wire is not None and self._sampled(said.key):
                _remember(self._said, (partition, said.seq), (self._place(said.caused_by), now))
                if said.type in self._ends:
                    spans.append(self._whole(said.key, said.type, now))
        for effect_id, message in asked.items():
            if self._sampled(message.key):
                _remember(self._asked, effect_id, self._place(message))
        if spans:
            self._export(spans)

    def handled(self, message: Message, began_ns: int) -> None:
        """A message was handled by itself, in no batch; all that follows from it is done."""
        if self._sampled(message.key):
            self._export([self._process(message, began_ns, time.time_ns())])

    def published(self, partition: int, wires: Iterable[Wire]) -> None:
        """The broker has acknowledged these."""
        now = time.time_ns()
        spans = [span for wire in wires if (span := self._publish(partition, wire, now)) is not None]
        if spans:
            self._export(spans)

    def performed(self, effect: Effect, began_ns: int, error: str | None = None) -> None:
        """A call outside came to an end, or failed with this."""
        if not self._sampled(effect.key):
            return
        trace = trace_id_of(effect.key)
        known = self._asked.get(effect.id) if error else self._asked.pop(effect.id, None)
        # Each attempt is a span; what follows from the outcome hangs on the one that brought it.
        span = _effect_span(effect.id) if error is None else (randbits(64) or 1)
        parent = _root(trace) if known is None else known.span
        name, facts = f"effect {effect.kind}", {"service": self._service, "key": effect.key}
        self._export([Span(Place(trace, span), parent, name, "client", began_ns, time.time_ns(), facts, error=error)])

    # --- one span each ------------------------------------------------------------------------------------------------

    def _sampled(self, key: str) -> bool:
        return trace_id_of(key) & 0xFFFF_FFFF_FFFF_FFFF < self._bound

    def _place(self, message: Message) -> Place:
        """Where the span of this service's handling of a message stands."""
        named = derived_id(self._service, "process", message.uid, message.id)
        return Place(trace_id_of(message.key), int(named[:16], 16))

    def _process(self, message: Message, began_ns: int, now: int, links: tuple[Place, ...] = ()) -> Span:
        at = self._place(message)
        _remember(self._begun, at.trace, self._begun.get(at.trace, began_ns))
        came = place_in(message.traceparent)
        if message.uid.startswith("effect/"):
            parent = _effect_span(message.uid.removeprefix("effect/"))
        elif came is not None and came.trace == at.trace:
            parent = came.span
        else:  # from a client, whose trace may be about more than this key; or a timer
            parent, links = _root(at.trace), links if came is None else (*links, came)
        facts: dict[str, str | int] = {"service": self._service, "key": message.key, **_where(message)}
        return Span(at, parent, f"process {message.type}", "consumer", began_ns, now, facts, links)

    def _phases(self, batch: TracedBatch, now: int, messages: int) -> list[Span]:
        facts: dict[str, str | int] = {"service": self._service, "messages": messages}
        whole = Span(batch.at, None, f"{self._service} batch", "internal", batch.began_ns, now, facts)
        return [whole] + [
            Span(Place(batch.at.trace, randbits(64) or 1), batch.at.span, name, "internal", began, ended, {})
            for name, began, ended in batch.phases
        ]

    def _whole(self, key: str, ended_by: str, now: int) -> Span:
        trace = trace_id_of(key)
        facts = {"service": self._service, "key": key, "ended_by": ended_by}
        return Span(Place(trace, _root(trace)), None, "order", "internal", self._begun.pop(trace, now), now, facts)

    def _publish(self, partition: int, wire: Wire, now: int) -> Span | None:
        found = _IN_VALUE.search(wire.value) if wire.value is not None else None
        at = place_in(found[1].decode()) if found is not None else None
        # A command that is sent on, or a dead letter, tells of its sender's span, not of one of ours.
        key = (wire.key or b"").decode("utf-8", errors="backslashreplace")
        if at is None or at.trace != trace_id_of(key) or not self._sampled(key):
            return None
        cause, committed_ns = self._said.pop((partition, wire.seq), (Place(at.trace, _root(at.trace)), now))
        links = () if cause.trace == at.trace else (cause,)
        parent = _root(at.trace) if links else cause.span
        facts = {"service": self._service, "key": key, "messaging.system": "kafka"}
        facts["messaging.destination.name"] = wire.topic
        return Span(at, parent, f"publish {wire.type}", "producer", committed_ns, now, facts, links)


def place_in(traceparent: str | None) -> Place | None:
    """The span that a W3C `traceparent` names."""
    found = _TRACEPARENT.match(traceparent) if traceparent else None
    return None if found is None else Place(int(found[1], 16), int(found[2], 16))


def _where(message: Message) -> dict[str, str | int]:
    if message.topic is None or message.partition is None or message.offset is None:
        return {}
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": message.topic,
        "messaging.destination.partition.id": str(message.partition),
        "messaging.kafka.offset": message.offset,
    }


def _root(trace: int) -> int:
    """The span of the whole."""
    return int(derived_id("whole", str(trace))[:16], 16)


def _effect_span(effect_id: str) -> int:
    return int(derived_id("effect", effect_id)[:16], 16)


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
