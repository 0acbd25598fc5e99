"""What the customer service decides: pure functions over one customer and the answer that a command got before.

    command            | answered before | the customer | what follows
    -------------------+-----------------+--------------+----------------------------------------------------------------
    register-customer  | no              | any          | name and address are the customer's; customer-registered
    erase-customer     | no              | known        | name and address are empty; customer-erased
                       | no              | unknown      | nothing changes; command-rejected, `unknown-customer`
    either             | no, other key   | any          | nothing changes; command-rejected, `invalid`
    either             | yes             | any          | nothing changes; the same answer, `duplicate`
    invalid, any kind  | as above        | any          | nothing changes; command-rejected, `invalid`
    look-up-customer   | never recorded  | known        | nothing changes; customer-found with the tier of now
                       |                 | unknown      | nothing changes; customer-unknown
    order-completed    | -               | any          | counts once for its customer; nothing is answered

A command is the same command when its source and id are the same, whatever it holds now. A look-up stands under the order's id,
which is never the customer's. Whoever is erased is still known: orders go on, and their counts stay. A registration that was
answered before its customer was erased is answered with customer-erased from then on, since its own answer is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from contracts.customer import (
    CommandRejected,
    CustomerErased,
    CustomerFound,
    CustomerRegistered,
    CustomerUnknown,
    EraseCustomer,
    LookUpCustomer,
    RegisterCustomer,
)
from contracts.envelope import InvalidCommand
from contracts.orders import OrderCompleted
from messaging.decision import Decision, Message, Outgoing
from services.customer.tiers import tier_of

Answer = CustomerRegistered | CustomerErased | CommandRejected
CommandKey = tuple[str, str]  # the envelope's source and id

WRONG_KEY: Final = "customer_id: must be the record's key"
UNKNOWN: Final = "No customer is registered under this id."


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as registered last. `updated_at`: when name and address were last replaced, or erased; both are empty then."""

    customer_id: str
    name: str
    email: str
    registered_at: datetime
    updated_at: datetime
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """Who erased a customer's name and address, and why."""

    source: str
    command_id: str
    customer_id: str
    operator: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The customer that a message is about, what this very command was answered before, and how many orders the customer
    completed. `counted`: the completed order is among them. `erasure`: what this message has erased."""

    customer: Customer | None = None
    answer: Answer | None = None
    completed_orders: int = 0
    counted: bool = False
    erasure: Erasure | None = None


def customer_of(message: Message) -> str | None:
    """Which customer a message is about. A look-up and an order's end stand under the order's id; the customer is in the data."""
    match message.data:
        case RegisterCustomer() | EraseCustomer():
            return message.key
        case LookUpCustomer(customer_id=customer_id) | OrderCompleted(customer_id=customer_id):
            return customer_id
        case _:
            return None


def recorded_key(message: Message) -> CommandKey | None:
    """What a command is known by, if its answer is recorded; None for look-ups, which are answered anew, and for events."""
    return None if isinstance(message.data, LookUpCustomer | OrderCompleted) else (message.source, message.id)


def without_address(answer: Answer) -> Answer:
    """What is left of an answer once its customer is erased."""
    if not isinstance(answer, CustomerRegistered):
        return answer
    return CustomerErased(command_id=answer.command_id, customer_id=answer.customer_id, duplicate=answer.duplicate)


def decide(state: State, message: Message, now: datetime) -> Decision[State]:
    """What becomes of one message; every command is answered."""
    match message.data:
        case LookUpCustomer() as question:
            return _look_up(state, message, question)
        case OrderCompleted():
            return _count(state)
        case _:
            return _carry_out(state, message, now)


def _carry_out(state: State, message: Message, now: datetime) -> Decision[State]:
    """What becomes of a command whose answer is recorded."""
    if state.answer is not None:
        return Decision(state, (Outgoing(message.key, state.answer.model_copy(update={"duplicate": True})),))
    match message.data:
        case RegisterCustomer() | EraseCustomer() as command if command.customer_id != message.key:
            return _reject(state, message, "invalid", WRONG_KEY)
        case RegisterCustomer() as command:
            return _register(state, message, command, now)
        case EraseCustomer() as command:
            return _erase(state, message, command, now)
        case InvalidCommand() as invalid:
            return _reject(state, message, "invalid", invalid.message)
        case other:
            raise TypeError(f"The customer service has no decision on {type(other).__name__}.")


def _look_up(state: State, message: Message, question: LookUpCustomer) -> Decision[State]:
    answer: CustomerFound | CustomerUnknown
    if state.customer is None:
        answer = CustomerUnknown(request_id=question.request_id, customer_id=question.customer_id)
    else:
        answer = CustomerFound(
            request_id=question.request_id, customer_id=question.customer_id, tier=tier_of(state.completed_orders)
        )
    return Decision(state, (Outgoing(message.key, answer),))


def _count(state: State) -> Decision[State]:
    if state.counted:
        return Decision(state)
    return Decision(replace(state, counted=True, completed_orders=state.completed_orders + 1))


def _register(state: State, message: Message, command: RegisterCustomer, now: datetime) -> Decision[State]:
    if state.customer is None:
        customer = Customer(command.customer_id, command.name, command.email, now, now)
    else:
        customer = replace(state.customer, name=command.name, email=command.email, updated_at=now, erased_at=None)
    answer = CustomerRegistered(
        command_id=message.id,
        customer_id=command.customer_id,
        name=command.name,
        email=command.email,
        duplicate=False,
    )
    return Decision(replace(state, customer=customer, answer=answer), (Outgoing(message.key, answer),))


def _erase(state: State, message: Message, command: EraseCustomer, now: datetime) -> Decision[State]:
    known = state.customer
    if known is None:
        return _reject(state, message, "unknown-customer", UNKNOWN)
    # Erasing once more changes nothing, but it is on record, and whoever keeps a copy is told once more.
    erased = known if known.erased_at is not None else replace(known, name="", email="", updated_at=now, erased_at=now)
    answer = CustomerErased(command_id=message.id, customer_id=command.customer_id, duplicate=False)
    erasure = Erasure(message.source, message.id, command.customer_id, command.operator, command.reason, now)
    after = replace(state, customer=erased, answer=answer, erasure=erasure)
    return Decision(after, (Outgoing(message.key, answer),))


def _reject(
    state: State, message: Message, reason: Literal["invalid", "unknown-customer"], why: str
) -> Decision[State]:
    answer = CommandRejected(
        command_id=message.id, command_type=message.type, reason=reason, message=why, duplicate=False
    )
    return Decision(replace(state, answer=answer), (Outgoing(message.key, answer),))
