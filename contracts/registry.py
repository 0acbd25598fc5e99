"""Which message type stands on which topic, and the model of its data."""

from __future__ import annotations

from typing import Final

from contracts import customer, inventory, letters, orders, payment, recommendation, topics
from contracts.values import CommandData, EventData

#: Commands by topic. An operators' command is refused on the clients' topic and the other way round.
COMMANDS: Final[dict[str, dict[str, type[CommandData]]]] = {
    topics.ORDERS_COMMANDS: orders.COMMANDS,
    topics.ORDERS_OPERATIONS: orders.OPERATIONS,
    topics.INVENTORY_COMMANDS: inventory.COMMANDS,
    topics.PAYMENT_COMMANDS: payment.COMMANDS,
    topics.CUSTOMER_COMMANDS: customer.COMMANDS,
    topics.RECOMMENDATION_COMMANDS: recommendation.COMMANDS,
}

EVENTS: Final[dict[str, dict[str, type[EventData]]]] = {
    topics.ORDERS_EVENTS: orders.EVENTS,
    topics.INVENTORY_EVENTS: inventory.EVENTS,
    topics.PAYMENT_EVENTS: payment.EVENTS,
    topics.CUSTOMER_EVENTS: customer.EVENTS,
    topics.RECOMMENDATION_EVENTS: recommendation.EVENTS,
    topics.LETTERS_EVENTS: letters.EVENTS,
}


#: The model of every event's data, whatever topic it stands on.
EVENT_MODELS: Final[dict[str, type[EventData]]] = {
    name: model for events in EVENTS.values() for name, model in events.items()
}

#: The topic and the type name of every published model.
TYPE_OF: Final[dict[type[CommandData] | type[EventData], tuple[str, str]]] = {
    **{model: (topic, name) for topic, commands in COMMANDS.items() for name, model in commands.items()},
    **{model: (topic, name) for topic, events in EVENTS.items() for name, model in events.items()},
}
