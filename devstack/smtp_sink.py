"""`python -m devstack.smtp_sink PORT PAGE_PORT FOLDER [HOST]`: a mail server that keeps each mail as a file and delivers nothing;
`PAGE_PORT` shows them in a browser.

A mail is known by its Message-ID: the second one with the same is dropped, so that a repeat after a crash is harmless.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from email.parser import BytesHeaderParser
from pathlib import Path

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.mail_page import serve_page
from devstack.settings import LOOPBACK
from messaging.logs import configure, get_logger, load_log_settings

log = get_logger(__name__)


class MailFolder:
    """Mails as files, named by the SHA-256 of their Message-ID."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.kept = sum(1 for _ in folder.glob("*.eml"))
        self.dropped = 0

    def keep(self, content: bytes) -> bool:
        """Keep the mail as a file; False if one with its Message-ID is there already. It outlives this process,
        but not a power cut: a flush for each mail would cost as much as an order."""
        path = self._folder / f"{mail_key(content)}.eml"
        if path.exists():
            self.dropped += 1
            return False
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(content)
        temporary.replace(path)
        self.kept += 1
        return True


def mail_key(content: bytes) -> str:
    """What a mail is known by: its Message-ID, or all of it where it has none."""
    message_id = BytesHeaderParser().parsebytes(content).get("Message-ID")
    known_by = str(message_id).strip().encode() if message_id else content
    return hashlib.sha256(known_by).hexdigest()


class KeepingHandler:
    """What the SMTP server does with a mail."""

    def __init__(self, folder: MailFolder) -> None:
        self._folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail before it is acknowledged."""
        content = envelope.original_content or b""
        if not self._folder.keep(content):
            log.info("mail-known", count=self._folder.dropped)
        return "250 OK"


async def serve(port: int, page_port: int, folder: Path, host: str = LOOPBACK) -> None:
    """Take mails until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    handler = KeepingHandler(MailFolder(folder))
    page = await serve_page(folder, host, page_port)  # before mails are taken: who takes mails shows them
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", enable_SMTPUTF8=True), host=host, port=port
    )
    log.info("started", where=f"{host}:{port}")
    async with server:
        await stopping.wait()
    await page.cleanup()


def main() -> None:
    """The command line."""
    port, page_port, folder, *host = sys.argv[1:]
    # The library tells every word of every dialogue: a third of all that a mail costs here.
    configure(load_log_settings(), "smtp-sink", f"smtp-sink-{os.getpid()}", levels={"mail.log": "WARNING"})
    uvloop.run(serve(int(port), int(page_port), Path(folder), *host))


if __name__ == "__main__":
    main()
