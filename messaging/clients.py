"""Safe settings for every Kafka client of the system, in one place. The library's defaults lose data (docs/adr/0004). How the
broker is reached (TLS, SASL) is one for all clients of a process, and comes from its environment (`messaging.secure`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from messaging.assignor import CoPartitionAssignor
from messaging.connections import notice_closed_connections
from messaging.fetching import fetch_incrementally
from messaging.records import read_with_care
from messaging.secure import load_kafka_security

REQUEST_TIMEOUT_MS: Final = 10_000
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
#: Between two attempts to reach a broker. With aiokafka's 100 ms the clients of one stack took as much of two cores as the broker
#: that was starting there.
RETRY_BACKOFF_MS: Final = 250


def producer_options(bootstrap_servers: str, client_id: str) -> dict[str, Any]:
    """A producer that writes each record once and in order, on all replicas in sync."""
    notice_closed_connections()
    return {
        "bootstrap_servers": bootstrap_servers,
        "client_id": client_id,
        "acks": "all",
        "enable_idempotence": True,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "max_request_size": MAX_REQUEST_BYTES,
        "max_batch_size": MAX_REQUEST_BYTES,
        "metadata_max_age_ms": 60_000,
        **load_kafka_security().options(),
    }


def consumer_options(bootstrap_servers: str, client_id: str) -> dict[str, Any]:
    """A consumer that skips nothing: where it has no position it begins at the beginning, and it never commits by itself."""
    notice_closed_connections()
    read_with_care()
    return {
        "bootstrap_servers": bootstrap_servers,
        "client_id": client_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "fetch_max_wait_ms": 100,
        "max_partition_fetch_bytes": 2 * 1024 * 1024,
        "metadata_max_age_ms": 60_000,
        **load_kafka_security().options(),
    }


def make_producer(bootstrap_servers: str, client_id: str) -> AIOKafkaProducer:
    """A producer, not started yet."""
    return AIOKafkaProducer(**producer_options(bootstrap_servers, client_id))


def make_admin(bootstrap_servers: str, client_id: str) -> AIOKafkaAdminClient:
    """An admin client, not started yet."""
    notice_closed_connections()
    return AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        client_id=client_id,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        **load_kafka_security().options(),
    )


def make_group_consumer(
    bootstrap_servers: str,
    client_id: str,
    group_id: str,
    instance_id: str | None,
    session_timeout_ms: int,
) -> AIOKafkaConsumer:
    """A member of a consumer group, not started and not subscribed yet."""
    # How long a fetch may wait at the broker where nothing comes; what comes is told at once. With 100 ms, six idle services
    # cost the broker an eighth of a core.
    options = {**consumer_options(bootstrap_servers, client_id), "fetch_max_wait_ms": 500}
    consumer = AIOKafkaConsumer(
        **options,
        group_id=group_id,
        group_instance_id=instance_id,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=max(session_timeout_ms, 15_000),
        heartbeat_interval_ms=500,
        partition_assignment_strategy=(CoPartitionAssignor,),
    )
    fetch_incrementally(consumer)
    return consumer


def make_reader(bootstrap_servers: str, client_id: str, topics: Sequence[str] = ()) -> AIOKafkaConsumer:
    """A reader without a group, for clients that look on; it is told its partitions with `assign`."""
    reader = AIOKafkaConsumer(*topics, **consumer_options(bootstrap_servers, client_id))
    fetch_incrementally(reader)
    return reader
