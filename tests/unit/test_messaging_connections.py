"""What aiokafka's connections do on uvloop where the broker has gone."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from messaging.clients import producer_options


async def _send_after_the_broker_closed() -> AIOKafkaConnection:
    """A request on a connection of which nobody has noticed yet that the other end closed it."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._writer.close()
    await connection._writer.wait_closed()
    connection._read_task = connection._create_reader_task()  # it has not run yet, and so nobody knows
    try:
        with pytest.raises(KafkaConnectionError, match="closed by the broker"):
            await connection.send(ApiVersionRequest())
    finally:
        server.close()
    return connection


def test_a_write_to_a_connection_that_the_broker_closed_is_a_connection_error() -> None:
    producer_options("", "")  # whoever makes a client has it so
    connection = uvloop.run(_send_after_the_broker_closed())
    assert not connection.connected()
