"""Bad input: each is answered with a verdict where the sender can be told, else set aside with a reason."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from contract.hostile import KEY, START, ask, binary_headers, document, raw, with_data
from contracts.envelope import Envelope, InvalidCommand, Unreadable, decode_event, event_type
from contracts.topics import ORDERS_COMMANDS
from contracts.values import MAX_RECORD_BYTES

SECRET = "4111-1111-1111-1111"

NOBODY_TO_TELL: dict[str, tuple[bytes | None, str]] = {
    "null": (None, "empty"),
    "empty": (b"", "empty"),
    "not JSON": (b"start my order please", "not-json"),
    "half of a JSON": (raw(document())[:-1], "not-json"),
    "two JSONs": (raw(document()) * 2, "not-json"),
    "a byte order mark": (b"\xef\xbb\xbf" + raw(document()), "not-json"),
    "not UTF-8": (b'{"id":"\xff\xfe"}', "not-utf8"),
    "UTF-16": (json.dumps(document()).encode("utf-16"), "not-utf8"),
    "a list": (b"[1,2]", "not-an-object"),
    "a number": (b"7", "not-an-object"),
    "null as JSON": (b"null", "not-an-object"),
    "as deep as it goes": (b"[" * 200_000, "too-deep"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too-deep"),
    "no id": (raw(document(id=None)), "unreadable-sender"),
    "no source": (raw(document(source=None)), "unreadable-sender"),
    "id is a number": (raw(document(id=5)), "unreadable-sender"),
    "id is empty": (raw(document(id="")), "unreadable-sender"),
    "id too long": (raw(document(id="x" * 65)), "unreadable-sender"),
    "NUL in the id": (raw(document(id="a\0b")), "unreadable-sender"),
    "bidi in the id": (raw(document(id="abc\u202efdp")), "unreadable-sender"),
    "half a surrogate in the source": (raw(document(source="\ud800")), "unreadable-sender"),
    "the id twice": (raw(document())[:-1] + b',"id":"cmd-2"}', "unreadable-sender"),
    "the source twice": (raw(document())[:-1] + b',"source":"cmd-2"}', "unreadable-sender"),
    "1 MB of nothing": (b" " * 1_000_000, "not-json"),
    "1 MB of noughts": (b"0" * 1_000_000, "not-json"),
}


@pytest.mark.parametrize("case", NOBODY_TO_TELL)
def test_what_names_no_sender_is_set_aside_with_its_reason(case: str) -> None:
    value, reason = NOBODY_TO_TELL[case]
    found = ask(value)
    assert isinstance(found, Unreadable)
    assert found.reason == reason


QUANTITIES = [
    "1.0",
    "1.5",
    "1e2",
    '"2"',
    "true",
    "null",
    "0",
    "-1",
    "9223372036854775808",
    "1" * 5000,
    "NaN",
    "Infinity",
]
QUANTITIES += ["-Infinity", "1e400", "[]", "{}", "1000001"]

CAN_BE_TOLD: dict[str, bytes] = {
    **{
        f"quantity {q[:20]}": raw(document()).replace(b'"quantity": 2', b'"quantity": ' + q.encode())
        for q in QUANTITIES
    },
    "no data": raw(document(data=None)),
    "data is null": raw({**document(), "data": None}),
    "data is a list": raw(document(data=[])),
    "data is JSON in a text": raw(document(data=json.dumps(document()["data"]))),
    "no lines": raw(with_data(items=[])),
    "10,000 lines": raw(with_data(items=[{"sku": "A", "quantity": 1}] * 10_000)),
    "1,001 lines": raw(with_data(items=[{"sku": "A", "quantity": 1}] * 1_001)),
    "1 MB of text": raw(with_data(customer_id="x" * 1_000_000)),
    "1 MB of an extension": raw(document(note="x" * 1_000_000)),
    "a key twice at the top": raw(document())[:-1] + b',"type":"orders.cancel-order.v1"}',
    "a key twice below": raw(document()).replace(b'"quantity": 2', b'"quantity": 2, "quantity": 3'),
    "a key twice in an extension": raw(document())[:-1] + b',"x":{"a":1,"a":1}}',
    "a key twice, once escaped": raw(document()).replace(b'"quantity": 2', b'"quantity": 2, "\\u0071uantity": 3'),
    "100,000 different keys and one twice": raw(
        {**document(), **{f"x{number}": 1 for number in range(100_000)}}
    ).replace(b'"x7": 1', b'"x7": 1, "x8": 1'),
    "33 levels": raw(document())[:-1] + b',"x":' + b"[" * 33 + b"]" * 33 + b"}",
    "NaN in an extension": raw(document())[:-1] + b',"x":NaN}',
    "half a surrogate in an extension": raw(document(x="\udfff")),
    "half a surrogate in a key": raw({**document(), "\ud800": 1}),
    "NUL in the subject": raw(document(subject="a\0b")),
    "bidi in a SKU": raw(with_data(items=[{"sku": "A\u202eB", "quantity": 1}])),
    "zero width in a customer": raw(with_data(customer_id="178\u200b50")),
    "a line break in a customer": raw(with_data(customer_id="17850\n")),
    "a space behind a customer": raw(with_data(customer_id="17850 ")),
    "unknown type": raw(document(type="orders.steal-order.v1")),
    "another topic's type": raw(document(type="inventory.adjust-stock.v1")),
    "an event's type": raw(document(type="orders.order-completed.v1")),
    "a huge type": raw(document(type="x" * 200_000)),
    "a type with bidi": raw(document(type="\u202eevil")),
    "type is a number": raw(document(type=1)),
    "type is an object": raw(document(type={"a": "b"})),
    "no type": raw(document(type=None)),
    "specversion 0.3": raw(document(specversion="0.3")),
    "specversion is a number": raw(document(specversion=1.0)),
    "no specversion": raw(document(specversion=None)),
    "no subject": raw(document(subject=None)),
    "subject is a number": raw(document(subject=7)),
    "time is garbage": raw(document(time="yesterday, " + SECRET)),
    "time without a zone": raw(document(time="2026-01-15T10:00:00")),
    "time is a number": raw(document(time=1_700_000_000)),
    "time is a number in a text": raw(document(time="1700000000")),
    "time without seconds": raw(document(time="2026-01-15T10:00Z")),
    "time is the year 10,000": raw(document(time="10000-01-01T00:00:00Z")),
    "unknown workflow version type": raw(with_data(workflow_version="1")),
    "approval timeout of 0": raw(with_data(approval_timeout_s=0)),
    "approval timeout of a month and a bit": raw(with_data(approval_timeout_s=2_592_001)),
    "an unknown field": raw(with_data(**{SECRET: SECRET})),
    "currency in small letters": raw(with_data(currency=SECRET)),
}


@pytest.mark.parametrize("case", CAN_BE_TOLD)
def test_what_names_its_sender_gets_a_verdict(case: str) -> None:
    started = time.perf_counter()
    found = ask(CAN_BE_TOLD[case])
    assert time.perf_counter() - started < 1
    assert isinstance(found, InvalidCommand)
    assert (found.command_id, found.source) == ("cmd-1", "shop")
    assert SECRET not in found.message


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "The record has no key; it must be the subject."),
        (b"", "The record's key is not the subject."),
        (b"ORD-2", "The record's key is not the subject."),
        (b"\xff\xfe", "The record's key is not the subject."),
    ],
)
def test_a_command_stands_under_its_subject(key: bytes | None, message: str) -> None:
    found = ask(raw(document()), key=key)
    assert isinstance(found, InvalidCommand)
    assert (found.subject, found.message) == ("ORD-1", message)


def test_without_a_subject_the_verdict_stands_under_the_key_and_without_both_under_something_printable() -> None:
    for subject, key, under in [
        (None, b"ORD-9", "ORD-9"),
        ("\0", b"ORD-9", "ORD-9"),
        ("a\0b", None, "a\\x00b"),
        (None, None, "unknown"),
        (None, b"\xff", "\\xff"),
        ("   ", None, "unknown"),
        ("\u202e" * 100, None, "\\u202e" * 10 + "\\u20"),
    ]:
        found = ask(raw(document(subject=subject)), key=key)
        assert isinstance(found, InvalidCommand)
        assert found.subject == under


def test_near_the_limit_of_recursion_nothing_escapes() -> None:
    for depth in range(900, 1_010):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            ask(opening * depth + b'"\\ud800"' + closing * depth)


@pytest.mark.parametrize("odd", [None, True, 7, -1.5, "text", [1], {"a": {"b": None}}, "", "5", 10**30])
def test_extensions_of_any_json_type_are_ignored_also_where_our_events_use_the_name(odd: Any) -> None:
    names = (
        "someextension",
        "sequence",
        "correlationid",
        "causationid",
        "traceparent",
        "dataschema",
        "datacontenttype",
    )
    found = ask(raw({**document(), **dict.fromkeys(names, odd)}))
    assert isinstance(found, Envelope)
    assert (found.sequence, found.correlationid, found.causationid) == (None, None, None)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", b"application/cloudevents+json; charset=utf-8")],
        [("Content-Type", b"Application/CloudEvents+JSON"), ("ce_specversion", b"1.0"), ("ce_id", b"another")],
        [("content-type", b"text/plain")],
        [("content-type", None), ("ce_type", b"\xff")],
    ],
)
def test_structured_json_is_understood_with_and_without_the_header(headers: list[tuple[str, bytes | None]]) -> None:
    found = ask(raw(document()), headers=headers)
    assert isinstance(found, Envelope)
    assert found.id == "cmd-1"


class TestBinaryMode:
    body = raw(document()["data"])

    def test_it_says_the_same_as_structured_mode(self) -> None:
        assert ask(self.body, headers=binary_headers()) == ask(raw(document()))

    @pytest.mark.parametrize("name", ["id", "source"])
    @pytest.mark.parametrize("value", [None, b"", b"\xff\xff", b"a\0b", b"x" * 65])
    def test_without_a_readable_sender_it_is_set_aside(self, name: str, value: bytes | None) -> None:
        found = ask(self.body, headers=binary_headers(**{name: value}))
        if value == b"\xff\xff":
            # Bytes that are no UTF-8 read as their escapes, which is a printable name.
            assert isinstance(found, Envelope)
        else:
            assert isinstance(found, Unreadable)
            assert found.reason == "unreadable-sender"

    @pytest.mark.parametrize("name", ["id", "source"])
    def test_a_sender_that_stands_twice_is_none(self, name: str) -> None:
        found = ask(self.body, headers=[*binary_headers(), (f"CE_{name.upper()}", b"other")])
        assert isinstance(found, Unreadable)

    @pytest.mark.parametrize(
        "changes", [{"type": None}, {"type": b"\xff"}, {"subject": None}, {"specversion": b"7"}, {"time": b"noon"}]
    )
    def test_other_bad_attributes_get_a_verdict(self, changes: dict[str, bytes | None]) -> None:
        assert isinstance(ask(self.body, headers=binary_headers(**changes)), InvalidCommand)

    def test_a_header_cannot_smuggle_in_the_data(self) -> None:
        found = ask(self.body, headers=[*binary_headers(), ("ce_data", b"{}")])
        assert isinstance(found, InvalidCommand)

    @pytest.mark.parametrize("body", [b"nope", b'{"a":1}}', b"\xff"])
    def test_a_body_that_is_no_json_gets_a_verdict_because_its_sender_stands_in_the_headers(self, body: bytes) -> None:
        found = ask(body, headers=binary_headers())
        assert isinstance(found, InvalidCommand)
        assert (found.command_id, found.source) == (document()["id"], document()["source"])
        assert isinstance(ask(body, headers=binary_headers(id=None)), Unreadable)

    @pytest.mark.parametrize("body", [None, b"", b"null", b"[]", b'{"a":1},"id":"x"'])
    def test_an_empty_or_foreign_body_is_never_a_command(self, body: bytes | None) -> None:
        assert not isinstance(ask(body, headers=binary_headers()), Envelope)


def test_the_limit_of_size_is_exact() -> None:
    room = MAX_RECORD_BYTES - len(raw(document(note="")))
    assert isinstance(ask(raw(document(note="x" * room))), Envelope)
    assert isinstance(ask(raw(document(note="x" * (room + 1)))), InvalidCommand)


def test_an_unknown_type_is_told_with_the_topic() -> None:
    found = ask(raw(document(type="orders.start-order.v9")))
    assert isinstance(found, InvalidCommand)
    assert ORDERS_COMMANDS in found.message
    assert found.command_type == "orders.start-order.v9"


@pytest.mark.parametrize("value", [None, b"", b"nope", b"\xff", b"[]", b"{}", b'{"type":5}', b"[" * 100_000])
def test_an_event_without_a_readable_type_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        event_type(value, [])


@pytest.mark.parametrize("value", [None, b"", b"nope", b"\xff", b"[]", b"{}", b"[" * 100_000, raw(document())])
def test_an_event_that_is_not_what_its_header_says_is_unreadable(value: bytes | None) -> None:
    assert event_type(value, [("ce_type", b"orders.order-completed.v1")]) == "orders.order-completed.v1"
    with pytest.raises(Unreadable):
        decode_event("orders.order-completed.v1", value)


REFUSED = "inventory.reservation-refused.v1"


@pytest.mark.parametrize("attribute", ["causationid", "traceparent", "message"])
@pytest.mark.parametrize(("text", "readable"), [("a\0b", False), ("\\u0000", True), ("\\\0", False)])
def test_an_event_that_holds_a_nul_is_unreadable_because_no_database_takes_it(
    attribute: str, text: str, readable: bool
) -> None:
    data = {"reservation_id": "r", "reason": "out-of-stock", "message": "none left"}
    found = document(type=REFUSED, data=data)
    (data if attribute in data else found)[attribute] = text
    if readable:
        assert decode_event(REFUSED, raw(found)).type == REFUSED
        return
    with pytest.raises(Unreadable, match="NUL"):
        decode_event(REFUSED, raw(found))


def test_an_event_of_an_unknown_type_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        decode_event(START, raw(document()))


def test_the_key_of_the_valid_command_is_its_subject() -> None:
    assert isinstance(ask(raw(document()), key=KEY), Envelope)


def test_an_empty_type_is_told_as_unknown() -> None:
    found = ask(b"null", None, [(n, v) for n, v in binary_headers() if n != "ce_type"] + [("ce_type", b"")])
    assert isinstance(found, InvalidCommand)
    assert found.command_type == "unknown"
