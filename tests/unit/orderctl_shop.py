"""The system as a client sees it, on an in-memory broker: commands in, verdicts and events out. Nothing of it is asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pydantic_core import to_json

from contracts.envelope import Envelope, decode_command, headers_for
from contracts.orders import StartOrder
from messaging.memory import MemoryBroker
from messaging.ports import Record, Wire, wire_headers
from orderctl.errors import TopicMissingError

PARTITIONS = 4


class WallClock:
    """The clock that the broker stamps its records with."""

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Come back after so long."""
        await asyncio.sleep(seconds)


class MemoryTransport:
    """The client's way to a `MemoryBroker`; `react` sees every published record at once."""

    def __init__(self, broker: MemoryBroker, react: Callable[[Record], None], missing: Sequence[str] = ()) -> None:
        self._broker = broker
        self._react = react
        self._missing = missing
        self._positions: dict[tuple[str, int], int] = {}
        self.closed = False

    async def listen(self, topics: Sequence[str]) -> None:
        """See `Transport.listen`."""
        for topic in topics:
            await self.partitions_of(topic)
        self._positions = {(t, p): self._broker.end(t, p) for t in topics for p in range(PARTITIONS)}

    async def read(self, timeout_s: float) -> Sequence[Record]:
        """See `Transport.read`."""
        await asyncio.sleep(0)
        found: list[Record] = []
        for (topic, partition), offset in self._positions.items():
            records = self._broker.read(topic, partition, offset)
            self._positions[topic, partition] = offset + len(records)
            found += records
        if not found:
            await asyncio.sleep(min(timeout_s, 0.002))
        return found

    async def read_all(self, topics: Sequence[str]) -> Sequence[Record]:
        """See `Transport.read_all`."""
        return [record for topic in topics for record in self._broker.all_records(topic)]

    async def partitions_of(self, topic: str) -> int:
        """See `Transport.partitions_of`."""
        if topic in self._missing:
            raise TopicMissingError(topic, "memory")
        return PARTITIONS

    async def publish(self, wires: Sequence[Wire], give_up_after_s: float) -> None:
        """See `Transport.publish`."""
        for wire in wires:
            self._react(self._broker.append(wire.topic, wire.key, wire.value, wire_headers(wire), wire.partition))

    async def close(self) -> None:
        """See `Transport.close`."""
        self.closed = True


class Shop:
    """Answers as the contract says: start-order waits for approval, approval completes, an order for `RARE` fails."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(WallClock(), PARTITIONS)
        self.transport = MemoryTransport(self.broker, self.hear)
        self.status: dict[str, str] = {}
        self.commands: list[tuple[str, str]] = []
        #: Types of commands that nobody answers.
        self.deaf_to: set[str] = set()
        self._verdicts: dict[str, tuple[str, dict[str, Any]]] = {}
        self._numbers = count(1)

    def hear(self, record: Record) -> None:
        """A command was published."""
        command = decode_command(record.topic, record.key, record.value, record.headers)
        assert isinstance(command, Envelope)
        kind, key = command.type.split(".")[1], command.subject
        self.commands.append((kind, key))
        if command.type in self.deaf_to:
            return
        known = self._verdicts.get(command.id)
        if known is not None:
            self.tell(known[0], key, {**known[1], "duplicate": True}, command.id)
            return
        answer = {"command_id": command.id, "command_type": command.type, "duplicate": False}
        service = record.topic.partition(".")[0]
        if service != "orders":
            event = {
                "receive-stock": "stock-received",
                "adjust-stock": "stock-adjusted",
                "erase-customer": "customer-erased",
            }.get(kind, "customer-registered")
            self._verdict(f"{service}.{event}.v1", key, {**answer, **command.data.model_dump()}, command.id)
            return
        reason = self._refusal(kind, key)
        if reason is not None:
            told = {**answer, "reason": reason, "message": f"because it is {reason}"}
            self._verdict("orders.command-rejected.v1", key, told, command.id)
            return
        self._verdict("orders.command-accepted.v1", key, answer, command.id)
        self._go_on(kind, key, command)

    def _refusal(self, kind: str, key: str) -> str | None:
        if kind == "start-order":
            return "conflict" if key in self.status else None
        if key not in self.status:
            return "unknown-order"
        return None if self.status[key] == "AWAITING_APPROVAL" else "too-late"

    def _go_on(self, kind: str, key: str, command: Any) -> None:
        customer = {"customer_id": "c"}
        if kind == "start-order":
            assert isinstance(command.data, StartOrder)
            self.tell("orders.order-started.v1", key, customer, command.id)
            self.status[key] = "AWAITING_APPROVAL"
            if any(item.sku == "RARE" for item in command.data.items):
                self._end(key, "failed", {"reason": "out-of-stock", **customer}, command.id)
        elif kind == "approve-payment":
            self._end(key, "completed", {"total_minor": 1250, "currency": "GBP", **customer}, command.id)
        elif kind in {"cancel-order", "cancel-by-operator"}:
            self._end(key, "cancelled", {"reason": "customer-request", **customer}, command.id)

    def _end(self, key: str, how: str, data: dict[str, Any], cause: str) -> None:
        self.status[key] = how.upper()
        self.tell(f"orders.order-{how}.v1", key, data, cause)

    def _verdict(self, event_type: str, key: str, data: dict[str, Any], command_id: str) -> None:
        self._verdicts[command_id] = event_type, data
        self.tell(event_type, key, data, command_id)

    def tell(self, event_type: str, key: str, data: dict[str, Any], cause: str) -> None:
        """Publish an event."""
        number = next(self._numbers)
        event = {
            "specversion": "1.0",
            "id": f"e{number}",
            "type": event_type,
            "subject": key,
            "time": datetime.now(UTC),
            "sequence": number,
            "causationid": cause,
            "data": data,
        }
        topic = f"{event_type.partition('.')[0]}.events.v1"
        self.broker.append(topic, key.encode(), to_json(event), headers_for(event_type))
