"""Notification's tables in memory, for the simulation and the tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from messaging.memory import MemoryTransaction
from services.notification.domain import CANCELLATION, CONFIRMATION, Contact, Kind, Mail, MailKey

_KINDS: tuple[Kind, ...] = (CONFIRMATION, CANCELLATION)


@dataclass(slots=True)
class MemoryMails:
    """`MailStore` as dictionaries."""

    mails: dict[MailKey, Mail] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)

    async def load_mails(self, transaction: MemoryTransaction, order_ids: Collection[str]) -> dict[MailKey, Mail]:
        """See `MailStore.load_mails`."""
        keys: list[MailKey] = [(order_id, kind) for order_id in order_ids for kind in _KINDS]
        return {key: self.mails[key] for key in keys if key in self.mails}

    async def load_contacts(self, transaction: MemoryTransaction, customer_ids: Collection[str]) -> dict[str, Contact]:
        """See `MailStore.load_contacts`."""
        return {name: self.contacts[name] for name in customer_ids if name in self.contacts}

    def stage_mails(self, transaction: MemoryTransaction, mails: Collection[Mail]) -> None:
        """See `MailStore.stage_mails`."""
        changed: dict[MailKey, Mail] = {(mail.order_id, mail.kind): mail for mail in mails}
        transaction.stage(lambda: self.mails.update(changed))

    def stage_contacts(self, transaction: MemoryTransaction, contacts: Collection[Contact]) -> None:
        """See `MailStore.stage_contacts`."""
        changed = {contact.customer_id: contact for contact in contacts}
        transaction.stage(lambda: self.contacts.update(changed))
