"""Commands to the customer service, and its events."""

from __future__ import annotations

from typing import Final, Literal

from contracts.values import CommandData, Email, EventData, Id, Text


class RegisterCustomer(CommandData):
    """A customer, or a new name and address for one that is known."""

    customer_id: Id
    name: Text
    email: Email


class CustomerRegistered(EventData):
    """Answer to register-customer."""

    command_id: str
    customer_id: Id
    name: Text
    email: Email
    duplicate: bool


class CommandRejected(EventData):
    """A command that changed nothing, and why."""

    command_id: str
    command_type: str
    reason: Literal["invalid"]
    message: str
    duplicate: bool


COMMANDS: Final[dict[str, type[CommandData]]] = {"customer.register-customer.v1": RegisterCustomer}

EVENTS: Final[dict[str, type[EventData]]] = {
    "customer.customer-registered.v1": CustomerRegistered,
    "customer.command-rejected.v1": CommandRejected,
}
