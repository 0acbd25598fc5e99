"""Who gets in at the console, for how long, and what each role is refused: over HTTP, with its real database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from console_bench import PASSWORD, Room, console_room

from services.console import pages_orders
from services.console.access import COOKIE, TRIES


@pytest.fixture
async def room(server_dsn: str) -> AsyncIterator[Room]:
    async with console_room(server_dsn) as room:
        yield room


async def test_many_wrong_log_ins_at_once_are_no_way_around_the_limit(room: Room) -> None:
    await room.somebody("operator")
    stranger = room.stranger()
    tries = [stranger.post("/login", {"name": "somebody", "password": f"guess-{n}"}) for n in range(20)]
    answers = await asyncio.gather(*tries)
    assert Counter(answer.status for answer in answers) == {403: TRIES, 429: 20 - TRIES}
    assert {answer.headers.get("Retry-After") for answer in answers if answer.status == 429} == {"60"}
    right = await stranger.post("/login", {"name": "somebody", "password": PASSWORD})
    assert right.status == 429, "also who knows the password waits"


async def test_right_log_ins_are_not_counted(room: Room) -> None:
    await room.somebody("operator")
    stranger = room.stranger()
    told = [
        (await stranger.post("/login", {"name": "somebody", "password": PASSWORD})).status for _ in range(TRIES + 2)
    ]
    assert set(told) == {303}


async def test_the_present_password_is_not_guessed_by_who_found_a_session(room: Room) -> None:
    seat = await room.somebody("operator")
    form = {"fresh": "another-password", "again": "another-password"}
    tries = [seat.post("/password", {**form, "password": f"guess-{n}"}) for n in range(TRIES + 3)]
    assert Counter([answer.status for answer in await asyncio.gather(*tries)]) == {403: TRIES, 429: 3}


@pytest.mark.parametrize("name", ["nobody", "a\x00b", "", "x" * 100, "ann\u202e"])
async def test_a_name_that_nobody_has_is_a_wrong_name(room: Room, name: str) -> None:
    answer = await room.stranger().post("/login", {"name": name, "password": PASSWORD})
    assert (answer.status, "do not match" in await answer.text()) == (403, True)


async def test_a_password_is_kept_as_argon2id(room: Room) -> None:
    await room.somebody("viewer")
    connection = await asyncpg.connect(room.dsn)
    try:
        kept = await connection.fetchval("SELECT password_hash FROM account WHERE name = 'somebody'")
    finally:
        await connection.close()
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


@pytest.mark.parametrize(("origin", "secure"), [(None, False), ("https://console.example", True)])
async def test_the_cookie_is_for_our_own_pages_alone_and_over_https_for_https(
    server_dsn: str, origin: str | None, secure: bool
) -> None:
    more = {} if origin is None else {"CONSOLE_ORIGIN": origin}
    async with console_room(server_dsn, **more) as room:
        await room.somebody("viewer")
        answer = await room.stranger().post("/login", {"name": "somebody", "password": PASSWORD})
    cookie = answer.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    assert bool(cookie["secure"]) is secure
    assert (answer.status, int(cookie["max-age"])) == (303, 12 * 3600)


async def test_a_session_ends_after_its_hours(room: Room) -> None:
    seat = await room.somebody("viewer")
    now = datetime.now(UTC)
    token = await room.store.open_session("somebody", now, 1)
    assert await room.store.person(token, now + timedelta(minutes=59)) is not None
    assert await room.store.person(token, now + timedelta(hours=1)) is None
    over = await room.store.open_session("somebody", now - timedelta(hours=2), 1)
    headers = {"Cookie": f"{COOKIE}={over}"}
    async with seat.web.get("/acts", headers=headers, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert (await seat.get("/acts"))[0] == 200, "the other one lasts"


async def test_who_logs_out_is_out_also_with_the_old_cookie(room: Room) -> None:
    seat = await room.somebody("viewer")
    assert (await seat.get("/acts"))[0] == 200
    answer = await seat.post("/logout", {})
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert answer.cookies[COOKIE].value == ""
    assert (await seat.get("/acts"))[0] == 303


async def test_a_stream_ends_with_its_session(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_orders, "BEAT_S", 0.1)
    seat = await room.somebody("viewer")
    async with seat.web.get("/live") as stream:
        assert (await stream.content.readline()).startswith(b"event: state")
        for _ in range(20):  # it goes on, beat by beat, as long as the session does
            assert await stream.content.readline()
        assert (await seat.post("/logout", {})).status == 303
        async with asyncio.timeout(20):
            await stream.content.read()


async def test_a_form_without_the_right_token_is_refused_whatever_the_token_is(room: Room) -> None:
    seat = await room.somebody("operator")
    for token in ("", "guessed", "Zoë-日本", "\U0001f600" * 40):
        answer = await seat.post("/accounts", {"csrf": token, "name": "new", "role": "viewer"})
        assert (answer.status, "load the page again" in await answer.text()) == (403, True)
    # What a browser never sends: half of a character, by an encoding of the form's own choice.
    body = b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n\\ud800\r\n--b--\r\n'
    half_type = {"Content-Type": "multipart/form-data; charset=unicode_escape; boundary=b", "Origin": seat.origin}
    async with seat.web.post("/accounts", data=body, headers=half_type) as answer:
        assert answer.status == 403
    assert [account["name"] for account in await room.store.accounts()] == ["admin", "somebody"]


async def test_a_request_that_does_not_say_where_it_comes_from_is_refused_in_words(room: Room) -> None:
    seat = await room.somebody("operator")
    form = {"csrf": seat.csrf, "name": "new", "role": "viewer"}
    async with seat.web.post("/accounts", data=form) as answer:
        assert (answer.status, "no Origin header" in await answer.text()) == (403, True)
    answer = await seat.post("/accounts", form, Origin="http://evil.example")
    assert (answer.status, "CONSOLE_ORIGIN" in await answer.text()) == (403, True)
    assert [account["name"] for account in await room.store.accounts()] == ["admin", "somebody"]


async def test_the_support_desk_may_approve_and_not_what_only_operators_may(room: Room) -> None:
    seat = await room.somebody("support")
    said = {"step": "plan", "reason": "the customer called", "names": "orders/orders.commands.v1/0/1"}
    assert (await seat.get("/act/approve/O-1"))[0] == 200
    assert (await seat.send("/act/approve/O-1", said))[0] == 502, "it is let through to the query API, which is away"
    for action in ("pause", "resume", "retry-now", "resolve"):
        assert (await seat.get(f"/act/{action}/O-1"))[0] == 403
        assert (await seat.post(f"/act/{action}/O-1", said)).status == 403
    for path in ("/bulk", "/letters/discard", "/letters/replay", "/accounts"):
        assert (await seat.post(path, said)).status == 403, path


async def test_a_viewer_is_refused_whatever_changes_anything(room: Room) -> None:
    seat = await room.somebody("viewer")
    said = {"step": "send", "reason": "no", "names": "orders/orders.commands.v1/0/1", "action": "cancel"}
    for path in ("/bulk", "/bulk/some-run", "/start", "/act/approve/O-1", "/letters/discard", "/letters/replay"):
        answer = await seat.post(path, said)
        assert (answer.status, "Your role (viewer) is not enough" in await answer.text()) == (403, True), path
    for path in ("/bulk", "/bulk/some-run", "/bulk/some-run.csv", "/start", "/letters/discard", "/accounts"):
        assert (await seat.get(path))[0] == 403, path
    assert (await seat.post("/accounts", {"name": "new", "role": "operator"})).status == 403
    # The bench made the account and chose its password.
    assert {act["action"] for act in await room.acts.newest()} == {"account", "password"}
