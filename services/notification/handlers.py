"""Notification as the runtime sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from contracts.customer import CustomerErased, CustomerRegistered
from contracts.orders import OrderCancelled, OrderCompleted
from contracts.registry import TYPE_OF
from contracts.topics import CUSTOMER_EVENTS, ORDERS_EVENTS, SUBSCRIPTIONS
from messaging.decision import Decision, Message, TimerFired
from messaging.handler import Parts, all_of
from messaging.logs import get_logger
from messaging.stamp import Stamped
from services.notification.domain import Contact, Mail, MailKey, State, decide, mail_key
from services.notification.store import MailStore

log = get_logger(__name__)

SERVICE: Final = "notification"

_NAMES_CUSTOMER: Final = (OrderCompleted, OrderCancelled, CustomerRegistered, CustomerErased)


class MailHandler:
    """Loads the mails and the customers that a batch is about."""

    name = SERVICE
    topics: tuple[str, ...] = SUBSCRIPTIONS[SERVICE]
    interests: Mapping[str, frozenset[str]] = {
        ORDERS_EVENTS: frozenset({TYPE_OF[OrderCompleted][1], TYPE_OF[OrderCancelled][1]}),
        CUSTOMER_EVENTS: frozenset({TYPE_OF[CustomerRegistered][1], TYPE_OF[CustomerErased][1]}),
    }

    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def load(self, transaction: Any, parts: Parts) -> MailBatch:
        """See `Handler.load`."""
        messages = all_of(parts)
        orders = {m.key for m in messages if not isinstance(m.data, CustomerRegistered | CustomerErased)}
        mails = await self._store.load_mails(transaction, orders) if orders else {}
        customers = set(_customers(messages, mails))
        contacts = await self._store.load_contacts(transaction, customers) if customers else {}
        return MailBatch(self._store, mails, contacts)

    def forget(self, partition: int) -> None:
        """Nothing is kept in memory."""


def _customers(messages: Sequence[Message], mails: Mapping[MailKey, Mail]) -> Iterable[str]:
    """Whose address may be asked for. The end of an attempt asks for none."""
    for message in messages:
        if isinstance(message.data, _NAMES_CUSTOMER):
            yield message.data.customer_id
        elif isinstance(message.data, TimerFired):
            key = mail_key(message)
            if key is not None and key in mails:
                yield mails[key].customer_id


class MailBatch:
    """The mails and the customers of one batch, and which of them are changed."""

    def __init__(self, store: MailStore, mails: dict[MailKey, Mail], contacts: dict[str, Contact]) -> None:
        self._store = store
        self._mails = mails
        self._contacts = contacts
        self._changed: dict[MailKey, Mail] = {}
        self._remembered: dict[str, Contact] = {}

    def decide(self, message: Message, now: datetime) -> Decision[State]:
        """See `Batch.decide`."""
        key = mail_key(message)
        mail = None if key is None else self._mails.get(key)
        before = State(mail, self._contacts.get(self._customer(message, mail)))
        decision = decide(before, message, now)
        after = decision.state
        if after.mail is not None and after.mail is not mail:
            changed: MailKey = after.mail.order_id, after.mail.kind
            self._mails[changed] = self._changed[changed] = after.mail
        if after.contact is not None and after.contact is not before.contact:
            name = after.contact.customer_id
            self._contacts[name] = self._remembered[name] = after.contact
        return decision

    def _customer(self, message: Message, mail: Mail | None) -> str:
        if isinstance(message.data, _NAMES_CUSTOMER):
            return message.data.customer_id
        return "" if mail is None else mail.customer_id

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`."""
        if self._changed:
            self._store.stage_mails(transaction, self._changed.values())
        if self._remembered:
            self._store.stage_contacts(transaction, self._remembered.values())

    def committed(self) -> None:
        """Nothing is kept in memory; a mail that was given up is made known."""
        for mail in self._changed.values():
            if mail.status == "undeliverable":
                log.warning(
                    "mail-undeliverable",
                    key=mail.order_id,
                    kind=mail.kind,
                    attempt=mail.attempts,
                    error=mail.last_error,
                )
