"""Admin's first password: who is told it, and that it is good for nothing but to choose another."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest
from console_bench import PASSWORD, Seat, console_room

from services.console.app import new_password

ADVICE = "`python -m services.console password admin`"


def told(text: str) -> str | None:
    found = re.search(r"one-time password (\S+)", text)
    return found[1] if found else None


async def log_in(seat: Seat, password: str) -> tuple[int, str]:
    """Status, and the cookie that is set."""
    answer = await seat.post("/login", {"name": "admin", "password": password})
    return answer.status, answer.headers.get("Set-Cookie", "").partition(";")[0]


@pytest.mark.parametrize("format_", ["console", "json"])
async def test_where_stdout_is_kept_in_a_log_no_password_is_told_but_how_to_get_one(
    server_dsn: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    monkeypatch.setenv("LOG_FORMAT", format_)
    async with console_room(server_dsn) as room:
        out, err = capfd.readouterr()
        assert told(out + err + caplog.text) is None
        assert (ADVICE in out) == (format_ == "console")
        assert [account["name"] for account in await room.store.accounts()] == ["admin"]
        monkeypatch.setenv("CONSOLE_DATABASE_URL", room.dsn)
        # A command of its own, whose output is not the console's log.
        assert await asyncio.to_thread(new_password, "admin", "operator") == 0
        status, cookie = await log_in(room.stranger(), capfd.readouterr().out.strip())
        assert (status, bool(cookie)) == (303, True)


@pytest.mark.parametrize("where", ["a terminal", "devstack"])
async def test_it_is_told_on_a_terminal_and_on_devstack_and_serves_to_choose_another_once(
    server_dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "console")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: where == "a terminal")
    more = {"CONSOLE_FIRST_PASSWORD": "stdout"} if where == "devstack" else {}
    async with console_room(server_dsn, **more) as room:
        first = told(capsys.readouterr().out)
        assert first is not None
        status, cookie = await log_in(room.stranger(), first)
        assert status == 303
        seat = room.holding(cookie)
        async with seat.web.get("/orders", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/password")
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await seat.get("/password"))[1])
        assert csrf is not None
        form = {"csrf": csrf[1], "password": first, "fresh": PASSWORD, "again": PASSWORD}
        assert (await seat.post("/password", form)).status == 303
        assert (await log_in(room.stranger(), first))[0] == 403
        assert (await log_in(room.stranger(), PASSWORD))[0] == 303
