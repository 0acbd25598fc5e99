"""Commands to the customer service, and its events."""

from __future__ import annotations

from typing import Final, Literal

from contracts.values import CommandData, Email, EventData, Id, Text

#: What a customer has become by completed orders; the rules are in the customer service.
Tier = Literal["STANDARD", "SILVER", "GOLD"]

CommandRefusal = Literal["invalid", "unknown-customer"]


class RegisterCustomer(CommandData):
    """A customer, or a new name and address for one that is known."""

    customer_id: Id
    name: Text
    email: Email


class LookUpCustomer(CommandData):
    """Who is this? Asked by the orchestrator under the order's id."""

    request_id: Id
    customer_id: Id


class EraseCustomer(CommandData):
    """Forget a customer's name and address. The id, the orders and what was counted stay. The reason is kept for ever: it is no
    place for personal data."""

    customer_id: Id
    operator: Text
    reason: Text


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


class CustomerErased(EventData):
    """Answer to erase-customer: name and address are forgotten. It is also the answer to a repeated registration whose name and
    address were forgotten since. Registering again, by a new command, is a new beginning."""

    command_id: str
    customer_id: Id
    duplicate: bool


class CommandRejected(EventData):
    """A command that changed nothing, and why."""

    command_id: str
    command_type: str
    reason: CommandRefusal
    message: str
    duplicate: bool


COMMANDS: Final[dict[str, type[CommandData]]] = {
    "customer.register-customer.v1": RegisterCustomer,
    "customer.look-up-customer.v1": LookUpCustomer,
    "customer.erase-customer.v1": EraseCustomer,
}

EVENTS: Final[dict[str, type[EventData]]] = {
    "customer.customer-registered.v1": CustomerRegistered,
    "customer.customer-found.v1": CustomerFound,
    "customer.customer-unknown.v1": CustomerUnknown,
    "customer.customer-erased.v1": CustomerErased,
    "customer.command-rejected.v1": CommandRejected,
}
