"""Who reads what: the services' own handlers say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.topics import SUBSCRIPTIONS
from proof.hostile.judge import Interests
from services.customer.handlers import CustomerHandler
from services.inventory.handlers import InventoryHandler
from services.notification.handlers import MailHandler
from services.orders.handlers import OrdersHandler
from services.payment.handlers import PaymentHandler
from services.recommendation.handlers import RecommendationHandler

INTERESTS: Final[dict[str, Interests]] = {
    handler.name: handler.interests
    for handler in (
        OrdersHandler,
        InventoryHandler,
        PaymentHandler,
        CustomerHandler,
        RecommendationHandler,
        MailHandler,
    )
}

#: Every topic that a service reads.
TOPICS: Final = tuple(dict.fromkeys(topic for topics in SUBSCRIPTIONS.values() for topic in topics))


def readers_of(topic: str) -> Iterator[str]:
    """The services that read the topic."""
    return (service for service, topics in SUBSCRIPTIONS.items() if topic in topics)
