"""How a message's body stands on a page: as a person reads it, and as nothing but text."""

from __future__ import annotations

import json
from html import unescape

import pytest
from jinja2 import Environment, FileSystemLoader
from markupsafe import escape

from orderctl.render import money
from services.console.app import HERE
from services.console.pages import link, moment, readable

BODY = {"name": "Zoë O'Brien & 日本", "about": "<script>alert(1)</script>", "a": [1, None]}


def tape_of(body: object) -> str:
    """The tape of an order's page, with one message."""
    environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    message = {"direction": "in", "topic": "orders.commands.v1", "partition": 2, "offset": 17, "id": "m-1"}
    item = {"n": 1, "kind": "command", "title": "t", "at": "2026-11-28T12:00:00Z", "message": message, "data": body}
    order = {"order_id": "O-1", "status": "COMPLETED", "items": [], "total_minor": 1, "currency": "GBP"}
    return environment.get_template("order.html").render(
        order=order,
        tape=[item],
        ended=True,
        link=link,
        moment=moment,
        readable=readable,
        money=money,
        undone={},
        took={},
    )


def test_a_body_is_read_as_it_was_written_and_stays_text() -> None:
    html = tape_of(BODY)
    assert "orders.commands.v1 2/17" in html
    (pre,) = [part.partition("</pre>")[0] for part in html.split("<pre>")[1:]]
    assert "Zoë O&#39;Brien &amp; 日本" in pre
    assert "<script>alert" not in html
    assert unescape(pre) == json.dumps(BODY, ensure_ascii=False, indent=2), "in its own order, nothing lost"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\u202eb", "a\\u202eb"), ("\ud800", "\\ud800"), ("a\u200bb", "a\\u200bb"), ("\x7f", "\\u007f"), ("\n", "\\n")],
)
def test_what_cannot_be_seen_in_a_body_is_told_by_its_number(text: str, shown: str) -> None:
    body = readable({"x": text})
    assert body == f'{{\n  "x": "{shown}"\n}}'
    assert json.loads(body) == {"x": text}
    assert str(escape(body)).encode()
