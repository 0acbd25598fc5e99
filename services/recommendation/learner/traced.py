"""What the learner adds to an order's trace: that its end was taken apart. The baskets are SKUs', and in no order's trace."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.envelope import Envelope
from messaging.decision import Message


def message_of(record: Any, envelope: Envelope[Any]) -> Message:
    """A record of Faust's, read, as the tracer knows messages."""
    return Message(
        type=envelope.type,
        key=envelope.subject,
        data=envelope.data,
        id=envelope.id,
        source=envelope.source,
        at=datetime.fromtimestamp(record.timestamp, UTC),
        uid=f"{record.topic}/{record.partition}/{record.offset}",
        traceparent=envelope.traceparent,
        topic=record.topic,
        offset=record.offset,
        partition=record.partition,
    )
