"""A form that is refused leads to a page with an address of its own, which says why as often as it is looked at."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from console_bench import Room, console_room

LETTER = "orders/orders.commands.v1/0/1"
WHY = {"step": "plan", "reason": "told by telephone"}


@pytest.fixture
async def room(server_dsn: str) -> AsyncIterator[Room]:
    async with console_room(server_dsn) as room:
        yield room


@pytest.mark.parametrize(
    ("path", "form", "status", "words"),
    [
        ("/act/cancel/O-1", {"step": "plan", "reason": " "}, 400, "Say why"),
        ("/act/cancel/O-1", WHY, 502, "The orders API at"),
        ("/act/cancel/O-1", {"step": "send", "command_id": "made-up"}, 409, "There is no plan of yours for this."),
        ("/act/add-line/O-1", {**WHY, "sku": "S-1", "quantity": "many"}, 400, "A quantity is a whole number"),
        ("/start", {**WHY, "order_id": "O-1", "items": "S-1"}, 400, "A quantity is a whole number"),
        ("/letters/replay", {"step": "plan", "names": LETTER, "reason": ""}, 400, "Say why"),
        ("/letters/discard", {**WHY, "names": LETTER}, 502, "Kafka"),
        ("/letters/discard", {"step": "send", "names": LETTER}, 409, "There is no plan of yours for this."),
        ("/bulk", {"action": "cancel", "reason": "", "sku": "S-1"}, 400, "Say why"),
        ("/bulk", {"reason": "recalled", "sku": "S-1"}, 400, "Choose what is to be done."),
        ("/bulk", {"action": "cancel", "reason": "recalled", "older": "soon"}, 400, "An age is a number and a unit"),
        ("/bulk", {"action": "cancel", "reason": "recalled", "sku": "S-1"}, 502, "The orders API at"),
        ("/accounts", {"name": "new", "role": "king", "reason": "joins"}, 400, "a role are needed"),
        ("/accounts", {"name": "new", "role": "viewer", "reason": ""}, 400, "Say why"),
    ],
)
async def test_a_refused_form_leads_to_a_page_that_says_why(
    room: Room, path: str, form: dict[str, str], status: int, words: str
) -> None:
    seat = await room.somebody("operator")
    answer = await seat.post(path, form)
    assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, path)
    seen = [await seat.get(answer.headers["Location"]) for _ in range(2)]
    assert [(found, words in text) for found, text in seen] == [(status, True)] * 2


async def test_what_was_filled_in_is_there_again_with_the_way_back_and_no_token_of_the_form(room: Room) -> None:
    seat = await room.somebody("operator")
    form = {**WHY, "sku": "<S-1>", "quantity": "many"}
    answer = await seat.post("/act/add-line/O-1?back=status%3DPAYING", form)
    where = answer.headers["Location"]
    assert where.startswith("/act/add-line/O-1?back=status%3DPAYING&refused=")
    _, text = await seat.get(where)
    for kept in ('value="&lt;S-1&gt;"', 'value="many"', ">told by telephone</textarea>"):
        assert kept in text
    assert seat.csrf not in where
    _, text = await (await room.somebody("operator", "another")).get(where)
    assert ("told by telephone" in text, "many" in text) == (False, False), "it is for who filled it in alone"


async def test_the_letters_that_a_refused_form_was_about_are_those_of_the_form_again(room: Room) -> None:
    seat = await room.somebody("operator")
    group = {"service": "orders", "topic": "orders.commands.v1", "reason_is": "no-json"}
    _, text = await seat.send("/letters/replay?back=state%3Dall", {"step": "plan", "reason": "", **group})
    assert dict(re.findall(r'name="(service|topic|reason_is)" value="([^"]*)"', text)) == group
    assert 'action="/letters/replay?back=state%3Dall"' in text
    assert '<a href="/letters?state=all">' in text


async def test_a_one_time_password_is_told_on_one_page_once(room: Room) -> None:
    seat = await room.somebody("operator")
    answer = await seat.post("/accounts", {"name": "new", "role": "viewer", "reason": "joins"})
    where = answer.headers["Location"]
    other = await room.somebody("operator", "another")
    assert "The one-time password of" not in (await other.get(where))[1]
    status, text = await seat.get(where)
    told = re.search(r"The one-time password of new is <code>([^<]+)</code>", text)
    assert (status, bool(told)) == (200, True)
    assert told
    assert await room.store.check("new", told[1])
    status, again = await seat.get(where)
    assert (status, told[1] in again, "was shown here, once" in again) == (200, False, True)
    assert await room.store.check("new", told[1]), "to look again makes no other password"
