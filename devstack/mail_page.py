"""The mails that the sink has kept, for people to look at: a list, newest first, and each mail as text.

Everything in a mail is somebody else's words: it is escaped, pages run no script and load nothing. Nothing can be changed here.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from html import escape
from pathlib import Path
from typing import Any, Final

from aiohttp import web

#: What the list shows.
NEWEST: Final = 200
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def serve_page(folder: Path, host: str, port: int) -> web.AppRunner:
    """Listen; the runner's `cleanup` ends it."""
    runner = web.AppRunner(page_of(folder), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def page_of(folder: Path) -> web.Application:
    """The page about the mails in this folder."""

    async def index(_: web.Request) -> web.Response:
        return await asyncio.to_thread(_index, folder)

    async def mail(request: web.Request) -> web.Response:
        return await asyncio.to_thread(_mail, folder / f"{request.match_info['key']}.eml")

    app = web.Application(middlewares=[_of_this_machine])
    app.add_routes([web.get("/", index), web.get("/{key:[0-9a-f]{64}}", mail)])
    return app


@web.middleware
async def _of_this_machine(request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> Any:
    """Under a name it is not served: a stranger's page could have its own name lead here, and read."""
    if not _is_address(request.url.host or ""):
        raise web.HTTPForbidden(text="Ask under localhost or an IP address.")
    return await handler(request)


def _is_address(host: str) -> bool:
    try:
        return host == "localhost" or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _index(folder: Path) -> web.Response:
    kept = [(path.stat().st_mtime, path) for path in folder.glob("*.eml")]
    rows = [_row(path, came_at) for came_at, path in heapq.nlargest(NEWEST, kept)]
    shown = f", the newest {NEWEST}" if len(kept) > NEWEST else ""
    table = f"<table><tr><th>came at<th>to<th>subject</tr>{''.join(rows)}</table>"
    return _page("Mails", f"<p>{len(kept)} mails{shown}. Nothing is delivered.</p>{table}")


def _row(path: Path, came_at: float) -> str:
    with path.open("rb") as file:
        headers = BytesHeaderParser().parse(file)
    at = datetime.fromtimestamp(came_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    subject = _header(headers, "Subject") or "(no subject)"
    link = f'<a href="/{path.stem}">{escape(subject)}</a>'
    return f"<tr><td>{at}<td>{escape(_header(headers, 'To'))}<td>{link}</tr>"


def _mail(path: Path) -> web.Response:
    try:
        mail = BytesParser().parsebytes(path.read_bytes())
    except FileNotFoundError:
        raise web.HTTPNotFound(text="There is no such mail.") from None
    lines = [f"{name}: {_header(mail, name)}" for name in ("From", "To", "Subject", "Date", "Message-ID")]
    texts = [_text(part) for part in mail.walk() if part.get_content_maintype() == "text"]
    told = "\n".join([*lines, "", *texts])
    return _page(_header(mail, "Subject"), f'<p><a href="/">all mails</a></p><pre>{escape(told)}</pre>')


def _header(mail: Message, name: str) -> str:
    """A header in words. One that breaks the rules is shown as it stands."""
    raw = str(mail.get(name, ""))
    try:
        return str(make_header(decode_header(raw)))
    except (MessageError, LookupError, ValueError):
        return raw


def _text(part: Message) -> str:
    """A part's words. Markup is shown, not followed."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    try:
        return content.decode(part.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError):
        return content.decode("latin-1")


def _page(title: str, body: str) -> web.Response:
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><h1>{escape(title)}</h1>{body}'
    return web.Response(text=text, content_type="text/html", headers=HEADERS)
