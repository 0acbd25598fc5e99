"""What can be seen from the outside, in the words of the public contract: what the queries would answer, what the topics tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from contracts.envelope import Envelope, decode_event, event_type
from contracts.orders import CommandAccepted, CommandRejected
from contracts.values import EventData
from messaging.memory import MemoryDatabase
from messaging.ports import Record
from services.inventory.ledger import Stock
from services.orders.api.record import placed, seqs_of
from services.orders.domain import Order
from services.orders.history import Entry
from services.payment.state import Charge

Event = Envelope[EventData]


@dataclass(frozen=True, slots=True)
class ToldVerdict:
    """A verdict as the sender of a command reads it. `reason` is None where the command was accepted."""

    command_id: str
    accepted: bool
    reason: str | None
    duplicate: bool
    message: str = ""


def events_of(records: Iterable[Record], key: str) -> list[Event]:
    """The events of one key in order; one that was delivered again counts once."""
    found: dict[str, Event] = {}
    for record in records:
        if record.key == key.encode():
            event = decode_event(event_type(record.value, record.headers), record.value)
            found.setdefault(event.id, event)
    return list(found.values())


def verdicts_of(events: Iterable[Event]) -> list[ToldVerdict]:
    """The verdicts among the events."""
    told: list[ToldVerdict] = []
    for event in events:
        match event.data:
            case CommandAccepted() as data:
                told.append(ToldVerdict(data.command_id, True, None, data.duplicate))
            case CommandRejected() as data:
                told.append(ToldVerdict(data.command_id, False, data.reason, data.duplicate, data.message))
            case _:
                pass
    return told


def order_view(order: Order) -> dict[str, Any]:
    """As `GET /orders/{id}` reads, but for `waiting_since`, which the API finds in the history."""
    return {
        "order_id": order.order_id,
        "workflow": order.workflow,
        "workflow_version": order.workflow_version,
        "status": order.status,
        "reason": order.reason,
        "waiting_for": order.waiting_for,
        "deadline": order.deadline,
        "paused": order.paused_at is not None,
        "customer_id": order.customer_id,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "items": [item.model_dump() for item in order.items],
        "created_at": order.created_at,
        "updated_at": order.updated_at,
    }


def history_view(entries: Iterable[Entry], partition: int, database: MemoryDatabase) -> list[dict[str, Any]]:
    """As `GET /orders/{id}/history` reads. `database`: the orders service's, which knows where its messages stand."""
    rows = [
        {
            "sequence": entry.said.seq,
            "at": entry.said.at,
            "type": entry.said.type,
            "event_id": entry.said.event_id,
            "worker": "orders-worker",
            "data": _plain(entry.said.data),
            "sent": [
                {"sequence": asked.seq, "type": asked.type, "id": asked.event_id, "data": _plain(asked.data)}
                for asked in entry.sent
            ],
            "cause": entry.said.caused_by.id,
            "cause_type": entry.said.caused_by.type,
            "cause_at": entry.said.caused_by.at,
            "cause_topic": entry.said.caused_by.topic,
            "cause_partition": entry.said.caused_by.partition,
            "cause_offset": entry.said.caused_by.offset,
            "answers": entry.said.caused_by.answers,
        }
        for entry in entries
    ]
    return placed(rows, partition, database.places(partition, seqs_of(rows)))


def _plain(data: BaseModel | dict[str, Any]) -> dict[str, Any]:
    return data.model_dump(mode="json") if isinstance(data, BaseModel) else data


def stock_view(stock: Stock) -> dict[str, Any]:
    """As `GET /skus/{sku}` reads."""
    row = {name: value for name, value in asdict(stock).items() if name != "description"}
    return {**row, "on_hand": stock.on_hand}


def charge_view(charge: Charge) -> dict[str, Any]:
    """As `GET /charges` reads."""
    return {
        "charge_id": charge.charge_id,
        "order_id": charge.order_id,
        "amount_minor": charge.amount_minor,
        "currency": charge.currency,
        "status": charge.status.value,
        "captured_minor": charge.captured_minor,
        "refunded_minor": charge.refunded_minor,
    }
