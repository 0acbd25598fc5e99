"""`orderctl history`: the tape as people read it, and what a stranger wrote in it."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from orderctl import render
from orderctl.tape import lines

AT = "2026-01-01T12:00:{:02}Z"


def entry(second: int, kind: str, title: str, **more: Any) -> dict[str, Any]:
    plain = {"text": "", "type": None, "cause": None, "id": None, "message": None, "worker": None, "data": {}}
    return {"at": AT.format(second), "kind": kind, "title": title, "duration_s": None, **plain, **more}


def shown(items: list[dict[str, Any]], missing: tuple[str, ...] = ()) -> list[str]:
    return [Text.from_markup(line).plain for line in lines(items, missing)]


def test_a_line_tells_time_since_the_start_what_details_duration_and_place() -> None:
    message = {"direction": "in", "topic": "payment.events.v1", "partition": 3, "offset": 881, "id": "e-1"}
    told = shown(
        [
            entry(1, "command", "Asked to start"),
            entry(42, "reply", "payment answered: refunded", text="500", message=message, duration_s=0.25),
        ]
    )
    assert told[0].split(None, 1)[1] == "+0.000s  Asked to start"
    assert told[1].split()[1:] == [
        *("+41.000s", "payment", "answered:", "refunded"),
        *("500", "(0.250", "s)", "<-", "payment.events.v1", "3/881", "e-1"),
    ]


def test_what_is_not_published_yet_and_who_did_not_answer_is_said() -> None:
    message = {"direction": "out", "topic": None, "partition": None, "offset": None, "id": "e-1"}
    told = shown([entry(1, "event", "Order started", message=message)], ("inventory", "payment"))
    assert told[0].endswith("-> no place on record e-1")
    assert told[1:] == [
        f"{name} did not answer: what it has on record is missing here." for name in ("inventory", "payment")
    ]


def test_a_gap_is_its_text_alone() -> None:
    gap = entry(1, "gap", "Waiting for approval", text="41 s: waiting for approval", duration_s=41.0)
    assert shown([entry(1, "command", "Asked to start"), gap])[1].split(None, 2)[2] == "41 s: waiting for approval"


def test_failures_are_red_and_an_end_that_is_well_is_green() -> None:
    def style(**item: Any) -> str:
        line = next(lines([entry(1, item.pop("kind"), "what", **item)], ()))
        return line.split("[", 1)[1].split("]", 1)[0] if "[" in line else ""

    assert style(kind="event", type="orders.order-failed.v1") == "red"
    assert style(kind="reply", type="payment.refund-failed.v1") == "red"
    assert style(kind="mail", type="mail.confirmation", data={"status": "undeliverable"}) == "red"
    assert style(kind="event", type="orders.order-completed.v1") == "bold green"
    assert style(kind="retry", type="orders.retry-scheduled") == "yellow"
    assert style(kind="request", type="inventory.check-stock.v1") == ""


def test_what_a_stranger_wrote_steers_no_terminal_and_breaks_no_line() -> None:
    nasty = "\x1b[2J[red]gone[/]\r\nfake line\u202e\x07"
    told = shown([entry(1, "event", "Order cancelled", text=nasty)])
    assert len(told) == 1
    assert "\\x1b[2J[red]gone[/]\\r\\nfake line\\u202e\\x07" in told[0]
    assert told[0].isprintable()


def test_errors_keep_their_lines() -> None:
    assert Text.from_markup(render.escape("one\ntwo\x1b")).plain == "one\ntwo\\x1b"
