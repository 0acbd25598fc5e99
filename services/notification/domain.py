"""What notification decides: pure functions over one mail and the customer it goes to.

    state of the mail | order ended       | timer              | sent     | failed              | refused
    ------------------+-------------------+--------------------+----------+---------------------+----------------
    none              | sending | waiting | -                  | -        | -                   | -
                      | | undeliverable   |                    |          |                     |
    waiting           | -                 | sending | waiting | -        | -                   | -
                      |                   | | undeliverable    |          |                     |
    sending           | -                 | -                  | sent     | retrying            | undeliverable
                      |                   |                    |          | | undeliverable     |
    retrying          | -                 | sending            | -        | -                   | -
                      |                   | | undeliverable    |          |                     |
    sent              | -                 | -                  | -        | -                   | -
    undeliverable     | -                 | -                  | -        | -                   | -

A dash changes nothing: the message is a repeat, or a timer or an outcome of a step that is over. A mail waits while its customer
is not known: order and customer stand on different partitions, and nothing orders the one before the other. For the same reason
an erasure reaches a mail when its next attempt is due, at most five minutes later: it is undeliverable then, as is every mail of an
order that ends while its customer is erased.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from contracts.customer import CustomerErased, CustomerRegistered
from contracts.orders import OrderCancelled, OrderCompleted
from messaging.decision import Decision, Effect, EffectDone, Message, SetTimer, TimerFired
from messaging.stamp import derived_id

Kind = Literal["confirmation", "cancellation"]
Status = Literal["waiting", "sending", "retrying", "sent", "undeliverable"]
Ended = OrderCompleted | OrderCancelled
MailKey = tuple[str, Kind]

CONFIRMATION: Final[Kind] = "confirmation"
CANCELLATION: Final[Kind] = "cancellation"
#: What each kind of mail tells of.
EVENT_OF: Final[dict[str, type[Ended]]] = {CONFIRMATION: OrderCompleted, CANCELLATION: OrderCancelled}
SEND: Final = "send-mail"
NO_ADDRESS: Final = "no address"
ERASED: Final = "erased"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how long, something is tried again."""

    initial_interval_s: float
    backoff_coefficient: float
    maximum_interval_s: float
    maximum_attempts: int

    def wait(self, failures: int) -> timedelta | None:
        """How long to wait after so many failures in a row; None: that was the last attempt."""
        if failures >= self.maximum_attempts:
            return None
        # 64 doublings are beyond every maximum; the power must not grow past what a float holds.
        interval_s = self.initial_interval_s * self.backoff_coefficient ** min(failures - 1, 64)
        return timedelta(seconds=min(interval_s, self.maximum_interval_s))


#: A mail is given up after 870 attempts, about three days after the first: a mail server may be away over a week-end.
SENDING: Final = RetryPolicy(1, 2, 300, 870)
#: A customer who is not known after 10 looks, about 4 minutes, has no address.
LOOKING_UP: Final = RetryPolicy(1, 2, 60, 10)


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer's name and address, as registered last. Both are empty where they were `erased`; `registered_at` is when, and
    `sequence` which of the customer service's events told it."""

    customer_id: str
    name: str
    email: str
    registered_at: datetime
    erased: bool = False
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail about one order. `event` is what it tells, until it is sent; `attempts` are those begun, `lookups` those in vain."""

    order_id: str
    kind: Kind
    cause: str
    customer_id: str
    message_id: str
    status: Status
    attempts: int
    lookups: int
    last_error: str | None
    event: Ended | None
    ended_at: datetime
    created_at: datetime
    sent_at: datetime | None

    @property
    def step(self) -> int:
        """Rises with each attempt and each look-up: a timer of another step is over."""
        return self.attempts + self.lookups

    @property
    def effect_id(self) -> str:
        """The attempt that is under way."""
        return f"{self.message_id}/{self.attempts}"


class SendMail(BaseModel):
    """An attempt to send a mail, with all that it needs."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    message_id: str
    order_id: str
    kind: Kind
    name: str
    address: str
    event: Ended
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """How an attempt ended: the server took the mail; it may work another time; it never will. `error` holds no address."""

    result: Literal["sent", "failed", "refused"]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The mail that a message is about and the customer it goes to; None where there is none."""

    mail: Mail | None = None
    contact: Contact | None = None


def mail_key(message: Message) -> MailKey | None:
    """Which mail a message is about; None for what tells of a customer."""
    match message.data:
        case OrderCompleted():
            return message.key, CONFIRMATION
        case OrderCancelled():
            return message.key, CANCELLATION
        case TimerFired(name="confirmation" | "cancellation" as kind):
            return message.key, kind
        case EffectDone(request=SendMail(kind=kind)):
            return message.key, kind
        case CustomerRegistered() | CustomerErased():
            return None
        case other:
            raise TypeError(f"Notification has no decision on {type(other).__name__}.")


def decide(state: State, message: Message, now: datetime) -> Decision[State]:
    """What becomes of one message."""
    match message.data:
        case CustomerRegistered() as registered:
            return _remember(state, registered, message)
        case CustomerErased() as erased:
            return _erase(state, erased, message)
        case OrderCompleted() | OrderCancelled() as event:
            return _order_ended(state, event, message, now)
        case TimerFired(step=step):
            return _timer_fired(state, step, now)
        case EffectDone(effect_id=effect_id, outcome=SendOutcome() as outcome):
            return _attempt_ended(state, effect_id, outcome, now)
        case other:
            raise TypeError(f"Notification has no decision on {type(other).__name__}.")


def _remember(state: State, registered: CustomerRegistered, message: Message) -> Decision[State]:
    """The last registration wins. A `duplicate` repeats an old answer: what it tells may have been replaced since."""
    if registered.duplicate or _is_overtaken(state, message):
        return Decision(state)
    contact = Contact(registered.customer_id, registered.name, registered.email, message.at, sequence=message.sequence)
    return Decision(replace(state, contact=contact))


def _erase(state: State, erased: CustomerErased, message: Message) -> Decision[State]:
    """Name and address are forgotten. A `duplicate` repeats an old answer: the customer may have registered anew since."""
    if erased.duplicate or _is_overtaken(state, message):
        return Decision(state)
    contact = Contact(erased.customer_id, "", "", message.at, erased=True, sequence=message.sequence)
    return Decision(replace(state, contact=contact))


def _is_overtaken(state: State, message: Message) -> bool:
    """Whether what is known was told by a later event. An event may come once more behind a later one, with a later time of the
    broker's: a process that has lost its partition may still publish what it had in hand. Its place in the order stays."""
    return state.contact is not None and state.contact.sequence > message.sequence


def _order_ended(state: State, event: Ended, message: Message, now: datetime) -> Decision[State]:
    key = mail_key(message)
    if state.mail is not None or key is None:
        return Decision(state)
    order_id, kind = key
    mail = Mail(
        order_id=order_id,
        kind=kind,
        cause=message.id,
        customer_id=event.customer_id,
        message_id=f"<{derived_id(order_id, kind, message.id)}@orders.example>",
        status="waiting",
        attempts=0,
        lookups=0,
        last_error=None,
        event=event,
        ended_at=message.at,
        created_at=now,
        sent_at=None,
    )
    return _try(state, mail, now)


def _timer_fired(state: State, step: int, now: datetime) -> Decision[State]:
    mail = state.mail
    if mail is None or mail.status not in {"waiting", "retrying"} or step != mail.step:
        return Decision(state)
    return _try(state, mail, now)


def _try(state: State, mail: Mail, now: datetime) -> Decision[State]:
    """Ask for an attempt to send, or wait for the address; where it was erased there is nothing to wait for."""
    contact = state.contact
    if contact is None:
        missing = replace(mail, status="waiting", lookups=mail.lookups + 1, last_error=NO_ADDRESS)
        return _later(state, missing, LOOKING_UP.wait(missing.lookups), now)
    if contact.erased:
        return Decision(replace(state, mail=replace(mail, status="undeliverable", last_error=ERASED)))
    if mail.event is None:
        raise ValueError("A mail that is not sent has lost what it tells.")
    attempt = replace(mail, status="sending", attempts=mail.attempts + 1)
    request = SendMail(
        message_id=mail.message_id,
        order_id=mail.order_id,
        kind=mail.kind,
        name=contact.name,
        address=contact.email,
        event=mail.event,
        ended_at=mail.ended_at,
    )
    effect = Effect(mail.order_id, attempt.effect_id, SEND, request)
    return Decision(replace(state, mail=attempt), effects=(effect,))


def _attempt_ended(state: State, effect_id: str, outcome: SendOutcome, now: datetime) -> Decision[State]:
    mail = state.mail
    if mail is None or mail.status != "sending" or effect_id != mail.effect_id:
        return Decision(state)
    match outcome.result:
        case "sent":
            sent = replace(mail, status="sent", last_error=None, event=None, sent_at=now)
            return Decision(replace(state, mail=sent))
        case "refused":
            refused = replace(mail, status="undeliverable", last_error=outcome.error)
            return Decision(replace(state, mail=refused))
        case "failed":
            failed = replace(mail, status="retrying", last_error=outcome.error)
            return _later(state, failed, SENDING.wait(failed.attempts), now)


def _later(state: State, mail: Mail, wait: timedelta | None, now: datetime) -> Decision[State]:
    if wait is None:
        return Decision(replace(state, mail=replace(mail, status="undeliverable")))
    timer = SetTimer(mail.order_id, mail.kind, mail.step, now + wait)
    return Decision(replace(state, mail=mail), timers=(timer,))
