"""What the tests of notification's tables and mails share: its records, its workers, and a real SMTP server to send to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from workbench import HandClock, fresh_database, put

from contracts.customer import CustomerErased, CustomerRegistered
from contracts.orders import OrderCancelled, OrderCompleted, OrderFailed
from contracts.values import EventData, PricedItem
from messaging.decision import Effect, Message
from messaging.memory import MemoryBroker
from messaging.meters import Meters
from messaging.ports import PendingEffect, Record, Store
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from services.notification.app import MIGRATIONS
from services.notification.domain import SendMail, SendOutcome
from services.notification.handlers import MailHandler
from services.notification.settings import MailSettings
from services.notification.store import MailStore


def completed(customer_id: str = "C1") -> OrderCompleted:
    return OrderCompleted(
        items=(PricedItem(sku="CUP", quantity=2, unit_price_minor=150),),
        total_minor=300,
        currency="GBP",
        customer_id=customer_id,
        reservation_ids=("r1",),
    )


def cancelled(customer_id: str = "C1") -> OrderCancelled:
    return OrderCancelled(reason="customer-request", customer_id=customer_id)


def failed(customer_id: str = "C1") -> OrderFailed:
    return OrderFailed(reason="out-of-stock", customer_id=customer_id, message="gone")


def registered(customer_id: str = "C1", name: str = "Ann", email: str = "ann@shop.example") -> CustomerRegistered:
    return CustomerRegistered(command_id="c", customer_id=customer_id, name=name, email=email, duplicate=False)


def erased(customer_id: str = "C1", duplicate: bool = False) -> CustomerErased:
    return CustomerErased(command_id="e", customer_id=customer_id, duplicate=duplicate)


class Bench:
    """Notification on one database and one partition, under a clock that the test moves."""

    def __init__(self, make_store: Callable[[HandClock], Store], tables: MailStore) -> None:
        self.clock = HandClock()
        self.broker = MemoryBroker(self.clock, 1)
        self.tables = tables
        self._make_store = make_store
        self.stores: list[Store] = []
        self.worker: PartitionWorker

    async def start(self) -> list[PendingEffect]:
        """A new process takes the partition over; what its predecessor left under way."""
        store = self._make_store(self.clock)
        self.stores.append(store)
        self.worker = PartitionWorker(MailHandler(self.tables), store, 0, 1, "test", Meters("notification"))
        return await self.worker.take_over()

    def tell(self, key: str, data: EventData, id: str | None = None, sequence: int | None = None) -> Record:
        """An event on its topic, a moment after the one before it."""
        self.clock.time += timedelta(milliseconds=1)
        return put(self.broker, key, data, id=id, sequence=sequence)

    async def step(self, *outcomes: Message) -> list[Effect]:
        """Handle all that may be handled now; the effects that were asked for."""
        for topic, offset in self.worker.offsets.items():
            self.worker.buffers.offer(self.broker.read(topic, 0, offset), self.worker.offsets)
        now = self.clock.now()
        barrier = Barrier(now, {topic: self.broker.end(topic, 0) for topic in self.worker.offsets})
        await self.worker.step(now, barrier, outcomes)
        asked = list(self.worker.launch)
        self.worker.launch.clear()
        return asked

    async def later(self, seconds: float) -> list[Effect]:
        """Let time pass, then handle what is due."""
        self.clock.time += timedelta(seconds=seconds)
        return await self.step()

    def ended(self, effect: Effect, outcome: SendOutcome) -> Message:
        """The end of an attempt, as the runtime tells it."""
        return self.worker.outcome(effect, outcome, self.clock.now())

    async def status(self, order_id: str) -> list[tuple[str, str, int]]:
        """Kind, status and attempts of the mails about an order."""
        transaction = await self.stores[-1].begin()
        found = await self.tables.load_mails(transaction, [order_id])
        return sorted((mail.kind, mail.status, mail.attempts) for mail in found.values())

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


def resumed(pending: PendingEffect) -> Effect:
    """The effect that a predecessor left under way, as the runtime reads it."""
    return Effect(pending.key, pending.id, pending.kind, SendMail.model_validate_json(pending.request))


def new_database(server_dsn: str) -> AbstractAsyncContextManager[str]:
    """A database of one test's own."""
    return fresh_database(server_dsn, MIGRATIONS)


@dataclass
class Sink:
    """A mail server. `answers` are given to the next mails' DATA, `refuse` to every recipient; `hold` keeps a mail waiting."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refuse: str | None = None
    refuse_sender: str | None = None
    hold: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    #: How to speak TLS, and whom to believe who comes with what password.
    tls: ssl.SSLContext | None = None
    accounts: dict[bytes, bytes] = field(default_factory=dict)
    _servers: list[SMTP] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        if self.refuse_sender is not None:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        if self.refuse is not None:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.reached.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(message_from_bytes(bytes(envelope.original_content or b""), policy=default))
        self.recipients.extend(envelope.rcpt_tos)
        return "250 OK"

    def hang_up(self) -> None:
        """Cut every connection, as a server does with idle ones."""
        for server in self._servers:
            if server.transport is not None:
                server.transport.close()
        self._servers.clear()

    def protocol(self) -> SMTP:
        self.connections += 1
        server = SMTP(
            self,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=self.tls,
            require_starttls=self.tls is not None,
            authenticator=self._authenticate,
            auth_required=bool(self.accounts),
        )
        self._servers.append(server)
        return server

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=self.accounts.get(data.login) == data.password, handled=False)

    def settings(self, timeout_s: float = 5, connections: int = 2) -> MailSettings:
        """How to reach this server."""
        return MailSettings("127.0.0.1", self.port, "orders@shop.example", timeout_s, connections)


@asynccontextmanager
async def smtp_sink(port: int = 0) -> AsyncIterator[Sink]:
    """A mail server on loopback."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(sink.protocol, "127.0.0.1", port)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        sink.hang_up()
