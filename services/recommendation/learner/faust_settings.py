"""Faust's settings, in one place. None of its defaults that matters here is trusted (docs/adr/0009)."""

from __future__ import annotations

from typing import Any

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from messaging.secure import KafkaSecurity, load_kafka_security
from messaging.settings import Settings


def credentials(security: KafkaSecurity) -> CredentialsT | None:
    """How Faust is told what the other clients are told by their options."""
    if security.uses_sasl:
        return SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=security.context(),
        )
    return SSLCredentials(security.context()) if security.uses_tls else None


def faust_options(settings: Settings) -> dict[str, Any]:
    """What `faust.App` is made with."""
    return {
        "broker": [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        "broker_client_id": settings.identity,
        "broker_credentials": credentials(load_kafka_security()),
        "store": "memory://",
        "autodiscover": False,
        "processing_guarantee": "at_least_once",
        "stream_wait_empty": True,
        "stream_publish_on_commit": False,
        "cython_optimizations": False,
        # Topics belong to the stack: another partition count here would tear keys and tables apart.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.partitions,
        "table_standby_replicas": 0,
        "reply_create_topic": False,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance_id,
        "consumer_max_fetch_size": 2 * 1024 * 1024,
        "consumer_metadata_max_age_ms": 60_000,
        "producer_metadata_max_age_ms": 60_000,
        "producer_acks": -1,
        "producer_request_timeout": 10.0,
        "broker_commit_interval": 1.0,
        "broker_heartbeat_interval": 0.5,
        "broker_session_timeout": settings.session_timeout_ms / 1000,
        "broker_rebalance_timeout": max(settings.session_timeout_ms / 1000, 15.0),
        "broker_request_timeout": max(settings.session_timeout_ms / 1000, 10.0),
        "web_enabled": False,
        "web_tables_enabled": False,
        "worker_redirect_stdouts": False,
    }
