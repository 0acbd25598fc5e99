"""What the customer service decides: pure functions over one customer and the answer that a command got before.

    answered before | command                         | what follows
    ----------------+---------------------------------+-----------------------------------------------------------
    no              | register-customer, key matches  | name and address are the customer's; customer-registered
    no              | register-customer, other key    | nothing changes; command-rejected, `invalid`
    no              | one that could not be validated | nothing changes; command-rejected, `invalid`
    yes             | any                             | nothing changes; the same answer, `duplicate`

A command is the same command when its source and id are the same, whatever it holds now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from contracts.customer import CommandRejected, CustomerRegistered, RegisterCustomer
from contracts.envelope import InvalidCommand
from messaging.decision import Decision, Message, Outgoing

Answer = CustomerRegistered | CommandRejected
CommandKey = tuple[str, str]  # the envelope's source and id

WRONG_KEY: Final = "customer_id: must be the record's key"


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as registered last. `updated_at`: when name and address were last replaced."""

    customer_id: str
    name: str
    email: str
    registered_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The customer under the command's key, and what this very command was answered before; None where there is none."""

    customer: Customer | None = None
    answer: Answer | None = None


def command_key(message: Message) -> CommandKey:
    """What a command is known by."""
    return message.source, message.id


def decide(state: State, message: Message, now: datetime) -> Decision[State]:
    """What becomes of one command; every command is answered."""
    if state.answer is not None:
        return Decision(state, (Outgoing(message.key, state.answer.model_copy(update={"duplicate": True})),))
    match message.data:
        case RegisterCustomer() as command if command.customer_id == message.key:
            return _register(state, message, command, now)
        case RegisterCustomer():
            return _reject(state, message, WRONG_KEY)
        case InvalidCommand() as invalid:
            return _reject(state, message, invalid.message)
        case other:
            raise TypeError(f"The customer service has no decision on {type(other).__name__}.")


def _register(state: State, message: Message, command: RegisterCustomer, now: datetime) -> Decision[State]:
    if state.customer is None:
        customer = Customer(command.customer_id, command.name, command.email, now, now)
    else:
        customer = replace(state.customer, name=command.name, email=command.email, updated_at=now)
    answer = CustomerRegistered(
        command_id=message.id,
        customer_id=command.customer_id,
        name=command.name,
        email=command.email,
        duplicate=False,
    )
    return Decision(State(customer, answer), (Outgoing(message.key, answer),))


def _reject(state: State, message: Message, why: str) -> Decision[State]:
    answer = CommandRejected(
        command_id=message.id, command_type=message.type, reason="invalid", message=why, duplicate=False
    )
    return Decision(replace(state, answer=answer), (Outgoing(message.key, answer),))
