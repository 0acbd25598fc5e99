"""Commands to the customer service, and its events."""

from __future__ import annotations

from typing import Final, Literal

from contracts.values import CommandData, Email, EventData, Id, Text

#: What a customer has become by completed orders; the rules are in the customer service.
Tier = Literal["STANDARD", "SILVER", "GOLD"]


class RegisterCustomer(CommandData):
    """A customer, or a new name and address for one that is known."""

    customer_id: Id
    name: Text
    email: Email


class LookUpCustomer(CommandData):
    """Who is this? Asked by the orchestrator under the order's id."""

    request_id: Id
    customer_id: Id


class CustomerRegistered(EventData):
    """Answer to register-customer."""

    command_id: str
    customer_id: Id
    name: Text
    email: Email
    duplicate: bool


class CustomerFound(EventData):
    """Answer to look-up-customer. No name and no address: an order needs neither."""

    request_id: str
    customer_id: Id
    tier: Tier


class CustomerUnknown(EventData):
    """Answer to look-up-customer: nobody has registered under this id."""

    request_id: str
    customer_id: Id


class CommandRejected(EventData):
    """A command that changed nothing, and why."""

    command_id: str
    command_type: str
    reason: Literal["invalid"]
    message: str
    duplicate: bool


COMMANDS: Final[dict[str, type[CommandData]]] = {
    "customer.register-customer.v1": RegisterCustomer,
    "customer.look-up-customer.v1": LookUpCustomer,
}

EVENTS: Final[dict[str, type[EventData]]] = {
    "customer.customer-registered.v1": CustomerRegistered,
    "customer.customer-found.v1": CustomerFound,
    "customer.customer-unknown.v1": CustomerUnknown,
    "customer.command-rejected.v1": CommandRejected,
}
