"""A command on its way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from pydantic import ValidationError

from contracts.envelope import encode, explain
from contracts.registry import TYPE_OF
from contracts.values import CommandData, is_id
from messaging.partitioner import partition_of
from messaging.ports import Wire
from orderctl.errors import UsageError

SOURCE: Final = "orderctl"


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked, of whom (`key`: the order, SKU or customer), and under which id it is known if it is sent again."""

    id: str
    key: str
    data: CommandData
    source: str = SOURCE

    @property
    def topic(self) -> str:
        """Where it is sent."""
        return TYPE_OF[type(self.data)][0]

    @property
    def type(self) -> str:
        """The message type in the envelope."""
        return TYPE_OF[type(self.data)][1]


def new_command(key: str, build: Callable[[], CommandData], command_id: str | None, source: str = SOURCE) -> Command:
    """A command from what a person typed. Raises `UsageError` that names what is wrong."""
    chosen = command_id or uuid4().hex
    for name, value in (("id", key), ("command id", chosen)):
        if not is_id(value):
            raise UsageError(
                f"The {name} must be 1 to 64 printable characters without spaces at the ends, not {value!r}."
            )
    try:
        data = build()
    except ValidationError as error:
        raise UsageError(f"This cannot be sent: {explain(error)}") from None
    return Command(chosen, key, data, source)


def wire_of(command: Command, partitions: int, now: datetime) -> Wire:
    """The record that carries the command, on the partition where its owner looks for it."""
    value = encode(
        id=command.id,
        source=command.source,
        type=command.type,
        subject=command.key,
        data=command.data,
        time=now,
        correlationid=command.key,
    )
    partition = partition_of(command.key, partitions)
    return Wire(0, command.topic, partition, command.key.encode(), value, command.type)
