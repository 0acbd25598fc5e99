"""The mail server's part: it takes mails and keeps them, or is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property

from services.notification.domain import SendMail, SendOutcome
from services.notification.letter import UnusableAddressError, compose


@dataclass(frozen=True)
class KeptMail:
    """A mail as the customer got it. What it says is read only where somebody wants to know."""

    order_id: str
    kind: str
    message_id: str
    content: bytes = field(repr=False)

    @cached_property
    def _message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def to(self) -> str:
        """Whose it is."""
        return str(self._message["To"])

    @property
    def subject(self) -> str:
        """Its subject."""
        return str(self._message["Subject"])

    @property
    def text(self) -> str:
        """What it says."""
        return str(self._message.get_content())


class Mailbox:
    """A performer of `send-mail` that keeps every mail once, by its Message-ID. `away`: the server does not answer."""

    def __init__(self) -> None:
        self.kept: dict[str, KeptMail] = {}
        self.away = False

    def read(self, kind: str, request: bytes) -> SendMail:
        """See `Performer.read`."""
        return SendMail.model_validate_json(request)

    async def perform(self, kind: str, request: SendMail, resumed: bool) -> SendOutcome:
        """See `Performer.perform`."""
        if self.away:
            return SendOutcome("failed", "ConnectionRefusedError")
        try:
            content = compose(request, "orders@shop.example")
        except UnusableAddressError as error:
            return SendOutcome("refused", str(error))
        kept = KeptMail(request.order_id, request.kind, request.message_id, content)
        self.kept.setdefault(request.message_id, kept)
        return SendOutcome("sent")
