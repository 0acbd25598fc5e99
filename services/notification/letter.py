"""From what a mail has to tell to the mail: plain text, nothing from the outside in its headers that was not checked."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final

from contracts.money import format_minor
from contracts.orders import OrderCancelled, OrderCompleted
from services.notification.domain import CONFIRMATION, Kind, SendMail

_WHY: Final[dict[str, str]] = {
    "customer-request": "as you asked",
    "approval-timeout": "because it was not approved in time",
}

MAX_NAME: Final = 200
# A mailbox that needs no quoting (RFC 5322 dot-atom, with RFC 6531's letters): nothing in it means anything to a mail server.
_ATOM = r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]+"
_MAILBOX: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*\Z")
# ASCII that prints, in a line that no server finds too long (RFC 5322: 998 characters, with its name).
_PLAIN: Final = re.compile(r"[\x20-\x7e]{0,900}\Z")


class UnusableAddressError(ValueError):
    """No mail can be sent to this address, now or later."""

    def __init__(self) -> None:
        super().__init__("the address is not a plain mailbox")


def one_line(name: str) -> str:
    """A name as it may stand in a line: what does not print is a space, and it ends somewhere."""
    printable = "".join(c if c.isprintable() else " " for c in name[: 4 * MAX_NAME])
    return " ".join(printable.split())[:MAX_NAME]


def subject_of(order_id: str, kind: Kind) -> str:
    """What the mail is called."""
    # The library decodes what looks like an encoded word (RFC 2047), line ends and all: an order id must never look like one.
    return f"Your order {order_id.replace('=?', '= ?')} {'is complete' if kind == CONFIRMATION else 'was cancelled'}"


def text_of(request: SendMail) -> str:
    """The mail's text."""
    event = request.event
    lines = _confirmed(request.order_id, event) if isinstance(event, OrderCompleted) else _cancelled(request, event)
    greeting = f"Dear {one_line(request.name) or 'customer'},"
    return "\n".join([greeting, "", *lines, "", "Thank you for shopping with us.", ""])


def _confirmed(order_id: str, event: OrderCompleted) -> list[str]:
    lines = [f"your order {order_id} is complete. It is paid and on its way to you.", ""]
    for item in event.items:
        line = f"  {item.quantity} x {item.sku}"
        if item.unit_price_minor is not None:
            each = format_minor(item.unit_price_minor, event.currency)
            line += f" at {each} = {format_minor(item.quantity * item.unit_price_minor, event.currency)}"
        lines.append(line)
    return [*lines, "", f"Total: {format_minor(event.total_minor, event.currency)}"]


def _cancelled(request: SendMail, event: OrderCancelled) -> list[str]:
    why = _WHY.get(event.reason)
    told = f"your order {request.order_id} was cancelled{' ' + why if why else ''}."
    return [told, "Whatever had been taken for it has been given back."]


def compose(request: SendMail, sender: str) -> bytes:
    """The mail, ready to be sent; the same request gives the same mail. Raises `UnusableAddressError`.

    The customer's name stands in the text alone: a header is no place for text that anybody may have chosen.
    """
    if not _MAILBOX.match(request.address) or "=?" in request.address:
        raise UnusableAddressError
    headers = {
        "From": sender,
        "To": request.address,
        "Subject": subject_of(request.order_id, request.kind),
        "Date": format_datetime(request.ended_at),
        "Message-ID": request.message_id,
        "Auto-Submitted": "auto-generated",
    }
    text = text_of(request)
    if all(_PLAIN.match(value) for value in headers.values()) and all(map(_PLAIN.match, text.split("\n"))):
        return plain(headers, text)
    return encoded(headers, text, utf8=not request.address.isascii())


def plain(headers: dict[str, str], text: str) -> bytes:
    """A mail that needs no encoding anywhere: nearly every one, at a tenth of what the library takes for it."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ['Content-Type: text/plain; charset="utf-8"', "Content-Transfer-Encoding: 7bit", "MIME-Version: 1.0", ""]
    return "\r\n".join([*lines, *text.split("\n")]).encode("ascii")


def encoded(headers: dict[str, str], text: str, utf8: bool) -> bytes:
    """A mail with whatever encoding its letters need. `utf8`: the headers hold them as they are (RFC 6531)."""
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    for name, value in headers.items():
        message[name] = value
    message.set_content(text)
    return message.as_bytes()
