"""The mail server's part: it takes mails and keeps them, or is away."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy

from services.notification.domain import SendMail, SendOutcome
from services.notification.letter import UnusableAddressError, compose


@dataclass(frozen=True, slots=True)
class KeptMail:
    """A mail as the customer got it."""

    order_id: str
    kind: str
    message_id: str
    to: str
    subject: str
    text: str


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
        mail = message_from_bytes(content, policy=policy.default)
        text = str(mail.get_content())
        kept = KeptMail(request.order_id, request.kind, request.message_id, str(mail["To"]), str(mail["Subject"]), text)
        self.kept.setdefault(request.message_id, kept)
        return SendOutcome("sent")
