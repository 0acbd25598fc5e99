"""What a client of the stack has to know, as environment variables."""

from __future__ import annotations

import shlex
from pathlib import Path

from contracts.topics import SUBSCRIPTIONS
from devstack.settings import DATABASES, Settings, database_variable, read_settings

_API_VARIABLES = {
    "ORDERS_API_URL": "orders-api",
    "INVENTORY_API_URL": "inventory",
    "PAYMENT_API_URL": "payment",
    "NOTIFICATION_API_URL": "notification",
    "RECOMMENDATION_LEARNER_URL": "recommendation-learner",
}


def stack_environment(home: Path | None = None, offset: int | None = None) -> dict[str, str]:
    """The variables for the stack in this home; nothing has to be running. What is already set in the environment wins."""
    return environment_of(read_settings(home=home, offset=offset))


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables for this stack: broker, databases, HTTP addresses and the folder of the mails."""
    found = {
        "DEVSTACK_HOME": str(settings.home),
        "DEVSTACK_PORT_OFFSET": str(settings.offset),
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap,
        "TOPIC_PARTITIONS": str(settings.partitions),
    }
    found |= {database_variable(name): settings.dsn(name) for name in DATABASES}
    found |= api_addresses(settings)
    found |= process_addresses(settings)
    found["MAIL_SINK_DIR"] = str(settings.mails)
    found["MAIL_PAGE_URL"] = settings.mail_page_url
    return found


def api_addresses(settings: Settings) -> dict[str, str]:
    """Where the queries of this stack are answered."""
    return {variable: settings.http_url(name) for variable, name in _API_VARIABLES.items()}


def process_addresses(settings: Settings) -> dict[str, str]:
    """Where each service's process of this stack tells its progress."""
    return {f"{name.upper()}_PROCESS_URLS": settings.http_url(name) for name in SUBSCRIPTIONS}


def export_lines(variables: dict[str, str]) -> str:
    """Lines that a shell can evaluate."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
