"""aiokafka's connections on uvloop.

Where the broker has closed a connection and aiokafka has not noticed yet, asyncio drops what is written; uvloop raises a
`RuntimeError`. aiokafka waits for an `OSError` alone (aiokafka#1038): the task that reads, or that keeps the group, ends, and its
consumer waits for ever.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Final = AIOKafkaConnection.send


def notice_closed_connections() -> None:
    """Have aiokafka take a write to a connection that the broker has closed for what it is: a connection error, which it mends."""
    AIOKafkaConnection.send = _send_unless_closed


def _send_unless_closed(connection: Any, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        writer = connection._writer
        if writer is None or not writer.is_closing():
            raise
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(
            f"Connection at {connection.host}:{connection.port} was closed by the broker"
        ) from error
