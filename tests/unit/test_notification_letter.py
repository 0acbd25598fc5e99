"""The text of the mails, and what hostile names and addresses can do to them: nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import aiosmtplib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.orders import OrderCancelled, OrderCompleted
from contracts.values import PricedItem
from services.notification.domain import SendMail
from services.notification.letter import UnusableAddressError, compose, encoded, format_minor, text_of
from services.notification.smtp import outcome_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
}


def request(**changes: Any) -> SendMail:
    completed = OrderCompleted(
        items=(PricedItem(sku="CUP", quantity=2, unit_price_minor=1050), PricedItem(sku="TEA", quantity=1)),
        total_minor=2100,
        currency=changes.pop("currency", "GBP"),
        customer_id="C1",
        reservation_ids=(),
    )
    plain = {
        "message_id": "<abc@orders.example>",
        "order_id": "O1",
        "kind": "confirmation",
        "name": "Ann",
        "address": "ann@shop.example",
        "event": completed,
        "ended_at": NOW,
    }
    return SendMail(**{**plain, **changes})


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=default)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234, "GBP", "12.34 GBP"),
        (5, "EUR", "0.05 EUR"),
        (1234, "JPY", "1234 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (12345, "CLF", "1.2345 CLF"),
        (-5, "GBP", "-0.05 GBP"),
        (10**15, "GBP", "10000000000000.00 GBP"),
    ],
)
def test_amounts_are_written_with_their_currencys_digits(amount: int, currency: str, text: str) -> None:
    assert format_minor(amount, currency) == text


def test_a_confirmation_names_lines_prices_and_total() -> None:
    text = text_of(request())
    assert "Dear Ann,\n" in text
    assert "  2 x CUP at 10.50 GBP = 21.00 GBP\n" in text
    assert "  1 x TEA\n" in text
    assert "Total: 21.00 GBP\n" in text


def test_a_cancellation_says_why() -> None:
    event = OrderCancelled(reason="approval-timeout", customer_id="C1")
    cancelled = request(kind="cancellation", event=event)
    assert "your order O1 was cancelled because it was not approved in time." in text_of(cancelled)
    assert read(compose(cancelled, "orders@shop.example"))["Subject"] == "Your order O1 was cancelled"


def test_the_same_request_gives_the_same_mail() -> None:
    stored = SendMail.model_validate_json(request().model_dump_json())
    assert stored == request()
    assert compose(stored, "orders@shop.example") == compose(request(), "orders@shop.example")


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=1000))
def test_no_name_and_no_order_id_reaches_the_headers_of_another(name: str) -> None:
    mail = read(compose(request(name=name + "\r\nBcc: mallory@evil.example\r\n\r\nhello"), "orders@shop.example"))
    assert set(mail.keys()) == HEADERS
    assert mail["To"] == "ann@shop.example"


# Client-chosen, printable, and yet an encoded word holds a line end and a header: `EmailMessage` alone would let it out.
@pytest.mark.parametrize("order_id", ["Bestellung ü 7", "=?utf-8?q?x=0D=0ABcc:_a@b?=", "O" * 64, "注文" * 32])
def test_an_odd_order_id_stays_in_the_subject(order_id: str) -> None:
    mail = read(compose(request(order_id=order_id), "orders@shop.example"))
    assert set(mail.keys()) == HEADERS
    assert "\n" not in mail["Subject"]
    assert order_id in text_of(request(order_id=order_id))


def told(mail: EmailMessage) -> dict[str, str]:
    """The headers but the one that says how the text is written. A text that just fits a line by itself is begun on the next
    one by the library, which then reads the fold as a space at its beginning."""
    return {name: str(value).lstrip() for name, value in mail.items() if name != "Content-Transfer-Encoding"}


@example(order_id="O" * 50, name="Ann")
@settings(deadline=None, max_examples=150)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=250),
)
def test_a_mail_written_plainly_reads_as_the_one_that_the_library_writes(order_id: str, name: str) -> None:
    content = compose(request(order_id=order_id, name=name), "orders@shop.example")
    mail = read(content)
    headers = {name: str(mail[name]) for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted")}
    reference = read(encoded(headers, text_of(request(order_id=order_id, name=name)), utf8=False))
    assert mail["Subject"] == f"Your order {order_id.replace('=?', '= ?')} is complete"
    assert told(mail) == told(reference)
    text = text_of(request(order_id=order_id, name=name))
    assert mail.get_content().split("\r\n") == text.split("\n")
    assert mail.get_content().splitlines() == reference.get_content().splitlines()
    assert b"\n" not in content.replace(b"\r\n", b"")


@pytest.mark.parametrize("address", ["ann+shop@shop.example", "o'neil@shop.example", "ü@ü.example"])
def test_a_plain_mailbox_is_written_as_it_is(address: str) -> None:
    assert read(compose(request(address=address), "orders@shop.example"))["To"] == address


@pytest.mark.parametrize(
    "address",
    ["a(b)@c.example", 'a"b@c.example', "a..b@c.example", "=?utf-8?q?x?=@c.example", "a@b@c", "a:b@c", "a\n@c"],
)
def test_an_address_that_means_more_than_a_mailbox_is_refused(address: str) -> None:
    with pytest.raises(UnusableAddressError):
        compose(request(address=address), "orders@shop.example")


@pytest.mark.parametrize(
    ("error", "result", "told"),
    [
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, "no a@b", "a@b")]), "refused", "550"),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(450, "busy", "a@b")]), "failed", "450"),
        (aiosmtplib.SMTPDataError(554, "spam from a@b"), "refused", "554"),
        (aiosmtplib.SMTPDataError(451, "later"), "failed", "451"),
        (aiosmtplib.SMTPHeloError(550, "not you"), "failed", "550"),
        (aiosmtplib.SMTPNotSupported("SMTPUTF8"), "refused", "SMTPNotSupported"),
        (aiosmtplib.SMTPServerDisconnected("gone"), "failed", "SMTPServerDisconnected"),
        (TimeoutError(), "failed", "TimeoutError"),
        (ConnectionRefusedError(111, "no"), "failed", "ConnectionRefusedError"),
    ],
)
def test_what_a_failure_means_and_that_its_text_holds_no_address(error: Exception, result: str, told: str) -> None:
    outcome = outcome_of(error)
    assert outcome.result == result
    assert told in (outcome.error or "")
    assert "a@b" not in (outcome.error or "")
