"""The page about the sink's mails: newest first, read only, and whatever a mail holds is shown and never followed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devstack.mail_page import NEWEST, page_of
from devstack.smtp_sink import MailFolder, mail_key

#: What the pages are made of. Anything else, or any attribute but these, came out of a mail.
TAGS = {"html", "meta", "title", "h1", "p", "a", "pre", "table", "tr", "th", "td"}
ATTRIBUTES = {"lang", "charset", "href"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&lt;'"


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def mail(number: int, subject: str = "Your order", text: str = "It is complete.") -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Message-ID"] = "shop@shop.example", f"c{number}@shop.example", f"<{number}@shop>"
    made["Subject"] = subject
    made.set_content(text)
    return made.as_bytes()


def keep(folder: Path, content: bytes, came_at: float) -> str:
    MailFolder(folder).keep(content)
    os.utime(folder / f"{mail_key(content)}.eml", (came_at, came_at))
    return mail_key(content)


@pytest_asyncio.fixture
async def page(tmp_path: Path) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(page_of(tmp_path))) as client:
        yield client


async def text_of(page: TestClient, path: str) -> str:
    answer = await page.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.content_type == "text/html"
    return await answer.text()


async def test_mails_are_listed_newest_first_with_subject_recipient_and_time(page: TestClient, tmp_path: Path) -> None:
    for number, came_at in ((1, 100.0), (2, 300.0), (3, 200.0)):
        keep(tmp_path, mail(number, f"Order {number}"), came_at)
    seen = Seen(await text_of(page, "/")).words
    assert [word for word in seen if word.startswith("Order")] == ["Order 2", "Order 3", "Order 1"]
    assert [word for word in seen if word.endswith("@shop.example")] == [
        f"c{number}@shop.example" for number in (2, 3, 1)
    ]
    assert "1970-01-01T00:05:00Z" in seen


async def test_of_very_many_mails_the_newest_are_listed_and_all_are_counted(page: TestClient, tmp_path: Path) -> None:
    for number in range(NEWEST + 5):
        keep(tmp_path, mail(number), 1000.0 + number)
    told = await text_of(page, "/")
    assert f"{NEWEST + 5} mails" in told
    assert told.count('<a href="/') == NEWEST
    assert f"c{NEWEST + 4}@" in told
    assert "c4@" not in told


async def test_a_mail_is_shown_as_text_in_its_own_words(page: TestClient, tmp_path: Path) -> None:
    key = keep(tmp_path, mail(1, "Zürich — bestätigt", "Grüße, 10 €\n" * 30), 100.0)
    told = "".join(Seen(await text_of(page, f"/{key}")).words)
    assert "Subject: Zürich — bestätigt" in told
    assert told.count("Grüße, 10 €\n") == 30


async def test_an_empty_folder_has_a_page_and_no_mail(page: TestClient) -> None:
    assert "0 mails" in await text_of(page, "/")
    assert (await page.get("/" + "0" * 64)).status == 404


@pytest.mark.parametrize("path", ["/..%2f..%2fetc%2fpasswd", "/x", "/%2e%2e/secret", "/" + "0" * 63, "/" + "A" * 64])
async def test_nothing_but_a_mail_can_be_asked_for(page: TestClient, tmp_path: Path, path: str) -> None:
    (tmp_path.parent / "secret.eml").write_text("secret")
    assert (await page.get(path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_page_is_read_only(page: TestClient, tmp_path: Path, method: str) -> None:
    key = keep(tmp_path, mail(1), 100.0)
    for path in ("/", f"/{key}"):
        assert (await page.request(method, path)).status == 405
    assert (tmp_path / f"{key}.eml").exists()


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:8025", 200), ("127.0.0.1", 200), ("[::1]:8025", 200), ("evil.example", 403)]
)
async def test_a_strangers_name_that_leads_here_reads_nothing(page: TestClient, host: str, status: int) -> None:
    assert (await page.get("/", headers={"Host": host})).status == status


async def test_a_mails_markup_is_shown_and_not_followed(page: TestClient, tmp_path: Path) -> None:
    key = keep(tmp_path, mail(1, HOSTILE, HOSTILE), 100.0)
    for path in ("/", f"/{key}"):
        seen = Seen(await text_of(page, path))
        assert HOSTILE in "".join(seen.words)
        assert seen.tags <= TAGS
        assert seen.attributes <= ATTRIBUTES


BROKEN = st.sampled_from(
    [b"=?utf-8?b?!!?=", b"=?no-such-charset?q?x?=", b"=?utf-8?q?=ff=fe?=", b"\xff\xfe", b"<script>"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    subject=st.one_of(BROKEN, st.binary(max_size=60)),
    kind=st.sampled_from([b"text/plain; charset=no-such", b"text/html", b"multipart/mixed; boundary=x", b"", b";;;"]),
    coding=st.sampled_from([b"base64", b"quoted-printable", b"no-such", b"8bit"]),
    body=st.binary(max_size=300),
)
async def test_whatever_was_sent_can_be_looked_at(
    tmp_path: Path, subject: bytes, kind: bytes, coding: bytes, body: bytes
) -> None:
    sent = b"Subject: %b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (subject, kind, coding, body)
    key = keep(tmp_path, sent, 100.0)
    async with TestClient(TestServer(page_of(tmp_path))) as page:
        for path in ("/", f"/{key}"):
            seen = Seen(await text_of(page, path))
            assert seen.tags <= TAGS
            assert seen.attributes <= ATTRIBUTES
    (tmp_path / f"{key}.eml").unlink()
