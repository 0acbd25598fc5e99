"""What a service is to the runtime: how its state is loaded, what it decides for one message, and which rows it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from messaging.decision import Decision, Message
from messaging.stamp import Stamped

#: The messages of a batch by the partition that they are on. No key is on two of them: what is where it does not belong is never
#: decided there.
Parts = Mapping[int, Sequence[Message]]


def all_of(parts: Parts) -> list[Message]:
    """The messages of all partitions."""
    return [message for messages in parts.values() for message in messages]


def partition_by_key(parts: Parts) -> dict[str, int]:
    """On which partition each key is."""
    return {message.key: partition for partition, messages in parts.items() for message in messages}


class Batch(Protocol):
    """The state that one batch works on, and what it has changed of it so far."""

    def decide(self, message: Message, now: datetime) -> Decision[Any]:
        """Decide one message and keep the new state for those that follow. If it raises, nothing has changed."""

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """Stage the changed rows, and the history, for the commit."""

    def committed(self) -> None:
        """The batch is in the database: what it changed may be kept in memory."""


class Handler(Protocol):
    """A service. `interests` names the events it reads of each event topic; others are passed over unparsed."""

    name: str
    topics: tuple[str, ...]
    interests: Mapping[str, frozenset[str]]

    async def load(self, transaction: Any, parts: Parts) -> Batch:
        """The state of every key in the batch, in one query per table or from memory."""

    def forget(self, partition: int) -> None:
        """Drop what is in memory for the partition."""


class Performer(Protocol):
    """Does what a service's effects ask for, outside of any transaction."""

    def read(self, kind: str, request: bytes) -> Any:
        """The request of an effect from its stored JSON."""

    async def perform(self, kind: str, request: Any, resumed: bool) -> Any:
        """Do it and say how it ended; every foreseeable failure is an outcome, not an exception. `resumed`: it may have been
        done before, wholly or half, by a process that died."""


class NoEffects:
    """The performer of a service that has no effects."""

    def read(self, kind: str, request: bytes) -> Any:
        """There is nothing to read."""
        raise NotImplementedError(f"No effect of kind {kind} is known here.")

    async def perform(self, kind: str, request: Any, resumed: bool) -> Any:
        """There is nothing to do."""
        raise NotImplementedError(f"No effect of kind {kind} is known here.")
