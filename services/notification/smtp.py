"""Sends mails over SMTP: a few connections that stay open, each with one mail at a time, every attempt with a deadline.

What cannot be sent comes back as an outcome and is tried again from the database. Little waits in memory: while the server is
known to be away, or too much is waiting already, an attempt fails at once.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import aiosmtplib

from messaging.logs import get_logger
from services.notification.domain import SendMail, SendOutcome
from services.notification.letter import UnusableAddressError, compose
from services.notification.settings import MailSettings

log = get_logger(__name__)

#: More than this do not wait for a connection.
MAX_WAITING: Final = 2_000
#: After a failed connection nobody tries for so long.
AWAY_S: Final = 0.5
#: Ends of attempts are told in groups, so that many are recorded by one transaction: one each would cost more than the mail.
TOGETHER_S: Final = 0.2

PERMANENT: Final = 500
#: What a server says of its client, not of the mail: log in, or speak TLS, first.
OF_THE_CLIENT: Final = frozenset({530, 534, 535, 538})
#: Whether STARTTLS is asked for; None: where it is offered.
_START_TLS: Final[dict[str, bool | None]] = {"offered": None, "required": True, "implicit": False, "off": False}


class SmtpPerformer:
    """See `Performer`: performs `send-mail`."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        # The connection that was used last is used next: at a low rate one is open, at a high rate all.
        self._free: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        self._connections = [_Connection(settings) for _ in range(settings.connections)]
        for connection in self._connections:
            self._free.put_nowait(connection)
        self._waiting = 0
        self._away_until = 0.0
        self._group: asyncio.Event | None = None

    def read(self, kind: str, request: bytes) -> SendMail:
        """See `Performer.read`."""
        return SendMail.model_validate_json(request)

    async def perform(self, kind: str, request: SendMail, resumed: bool) -> SendOutcome:
        """One attempt. A mail that was sent before goes out again under its Message-ID, by which the receiver knows it."""
        outcome = await self._attempt(request)
        await self._together()
        return outcome

    async def _attempt(self, request: SendMail) -> SendOutcome:
        if self._waiting >= MAX_WAITING:
            return SendOutcome("failed", "too many mails are waiting")
        self._waiting += 1
        try:
            connection = await self._free.get()
        finally:
            self._waiting -= 1
        try:
            if asyncio.get_running_loop().time() < self._away_until:
                return SendOutcome("failed", "the mail server is away")
            return await self._send(connection, request)
        finally:
            self._free.put_nowait(connection)

    async def _send(self, connection: _Connection, request: SendMail) -> SendOutcome:
        try:
            content = compose(request, self._settings.mail_from)
            async with asyncio.timeout(self._settings.timeout_s):
                await connection.send(request.address, content)
        except UnusableAddressError as error:
            return SendOutcome("refused", str(error))
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            outcome = outcome_of(error)
            # Only what was really tried is logged: in an outage that is two lines a second, not one for each mail.
            log.warning("mail-not-sent", key=request.order_id, error=outcome.error)
            if isinstance(error, OSError | TimeoutError):
                self._away_until = asyncio.get_running_loop().time() + AWAY_S
            return outcome
        return SendOutcome("sent")

    async def _together(self) -> None:
        if self._group is None:
            self._group = asyncio.Event()
            asyncio.get_running_loop().call_later(TOGETHER_S, self._tell)
        await self._group.wait()

    def _tell(self) -> None:
        if self._group is not None:
            self._group.set()
            self._group = None

    async def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.close()


class _Connection:
    """One connection, opened when it is needed and kept."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._client: aiosmtplib.SMTP | None = None

    async def send(self, address: str, content: bytes) -> None:
        """Send one mail. Whatever goes wrong on the wire, the next one starts with a new connection."""
        kept = self._client is not None and self._client.is_connected
        try:
            await self._send(address, content)
        except aiosmtplib.SMTPServerDisconnected:
            self.close()
            if not kept:
                raise
            # Servers hang up on idle connections: that says nothing about this mail.
            await self._send(address, content)
        except aiosmtplib.SMTPException as error:
            if not isinstance(error, aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused):
                self.close()
            raise
        except BaseException:
            # A cancelled or failed dialogue stands in an unknown place.
            self.close()
            raise

    async def _send(self, address: str, content: bytes) -> None:
        if self._client is None or not self._client.is_connected:
            self._client = aiosmtplib.SMTP(
                hostname=self._settings.smtp_host,
                port=self._settings.smtp_port,
                local_hostname=socket.gethostname(),
                timeout=self._settings.timeout_s,
                use_tls=self._settings.tls == "implicit",
                start_tls=_START_TLS[self._settings.tls],
                tls_context=self._settings.context(),
                username=self._settings.username,
                password=self._settings.password,
            )
            await self._client.connect()
        options = [] if address.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        await self._client.sendmail(self._settings.mail_from, address, content, mail_options=options)

    def close(self) -> None:
        """Hang up without a word."""
        if self._client is not None:
            self._client.close()
            self._client = None


def outcome_of(error: Exception) -> SendOutcome:
    """What a failure means for the mail. A server's own words are left out: they may repeat the address."""
    named: Any = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    told = type(named).__name__
    # A certificate that is not trusted is both: it says nothing about the mail.
    if isinstance(named, aiosmtplib.SMTPNotSupported | ValueError) and not isinstance(named, OSError):
        return SendOutcome("refused", told)
    if isinstance(named, aiosmtplib.SMTPResponseException):
        # Whoever refuses the sender refuses all mails: that is to be put right here, and then they go out.
        about_the_mail = isinstance(named, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
        final = about_the_mail and named.code >= PERMANENT and named.code not in OF_THE_CLIENT
        return SendOutcome("refused" if final else "failed", f"{told} {named.code}")
    return SendOutcome("failed", told)
