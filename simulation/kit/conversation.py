"""What was said and done, in order, read from the topics as anybody could: to judge it, and to tell it where a test fails."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel

from contracts.envelope import Envelope, Unreadable, decode_command, decode_event, event_type
from contracts.registry import TYPE_OF
from contracts.topics import COMMAND_TOPICS
from contracts.values import CommandData, EventData
from messaging.ports import Record
from simulation.clock import START
from simulation.system import System

M = TypeVar("M", bound=CommandData | EventData)

#: So many lines of a conversation are told; what came before is counted.
TOLD_LINES: Final = 40
LINE_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that the test did, before the record with this number was appended."""

    text: str
    seconds: float
    before: int
    told: bool


class Conversation:
    """The records of a system, with what was done to it in between. `played`: the services that the test speaks for."""

    def __init__(self, system: System, played: Collection[str]) -> None:
        self._system = system
        self._played = played
        self._deeds: list[Deed] = []

    def did(self, text: str, *, told: bool = True) -> None:
        """From here on, what is said follows from this. `told`: it gets a line; what appends a record has one anyway."""
        seconds = (self._system.now - START).total_seconds()
        self._deeds.append(Deed(text, seconds, len(self._system.broker.journal), told))

    @property
    def last_deed(self) -> str:
        """What was done last."""
        return self._deeds[-1].text if self._deeds else "the beginning"

    def heard(self, model: type[M], key: str, *, lately: bool = False) -> list[M]:
        """The messages of a type under a key, each once however often it was delivered. `lately`: only what was said since the
        last deed."""
        begin = self._deeds[-1].before if lately and self._deeds else 0
        topic, name = kind_of(model)
        first: dict[tuple[str, str], tuple[int, M]] = {}
        for number, record in enumerate(self._system.broker.journal):
            if record.topic == topic and record.key == key.encode():
                envelope = _read(record)
                if envelope is not None and envelope.type == name:
                    first.setdefault((envelope.source, envelope.id), (number, envelope.data))
        return [data for number, data in first.values() if number >= begin]

    def told(self, key: str) -> str:
        """The conversation with one order (or about one SKU), a line for each message and deed; what the test did has a `>`."""
        lines: list[str] = []
        deeds = [deed for deed in self._deeds if deed.told]
        for number, record in enumerate(self._system.broker.journal):
            while deeds and deeds[0].before <= number:
                lines.append(_deed_line(deeds.pop(0)))
            if record.key == key.encode():
                lines.append(self._line(record))
        lines.extend(_deed_line(deed) for deed in deeds)
        earlier = len(lines) - TOLD_LINES
        head = [f"    ... {earlier} earlier lines"] if earlier > 0 else []
        return "\n".join([f"The conversation with {key}:", *head, *lines[-TOLD_LINES:]])

    def _line(self, record: Record) -> str:
        envelope = _document(record)
        source = str(envelope.get("source", "?"))
        mark = ">" if source in self._played or source not in self._system.parts.of else " "
        data = envelope.get("data")
        said = " ".join(f"{k}={_short(v)}" for k, v in data.items()) if isinstance(data, dict) else ""
        seconds = (record.timestamp - START).total_seconds()
        line = f"{mark} {seconds:9.1f} s  {source:<14} {envelope.get('type', 'unreadable')}  {said}".rstrip()
        return line if len(line) <= LINE_WIDTH else f"{line[: LINE_WIDTH - 3]}..."


def kind_of(model: type[BaseModel]) -> tuple[str, str]:
    """The topic and the type name of a message."""
    return TYPE_OF[cast(Any, model)]


def _deed_line(deed: Deed) -> str:
    return f"> {deed.seconds:9.1f} s  -- {deed.text}"


def _short(value: Any) -> str:
    """Lines of an order as `tea*2`, everything else as it is."""
    match value:
        case str():
            return value
        case {"sku": sku, "quantity": quantity}:
            return f"{sku}*{quantity}"
        case [*parts]:
            return f"[{', '.join(_short(part) for part in parts)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _read(record: Record) -> Envelope[Any] | None:
    try:
        if record.topic in COMMAND_TOPICS:
            found = decode_command(record.topic, record.key, record.value, record.headers)
            return found if isinstance(found, Envelope) else None
        return decode_event(event_type(record.value, record.headers), record.value)
    except Unreadable:
        return None


def _document(record: Record) -> dict[str, Any]:
    try:
        document = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
