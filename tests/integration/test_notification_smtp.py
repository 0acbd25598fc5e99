"""Mails over real SMTP: what is sent, what is sent again, and what becomes of a mail when the server misbehaves."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from notification_bench import (
    Bench,
    Sink,
    cancelled,
    completed,
    new_database,
    registered,
    resumed,
    smtp_sink,
)
from workbench import NOW

from messaging.decision import Effect
from messaging.errors import SettingsError
from messaging.postgres import PostgresStore
from services.notification import smtp
from services.notification.domain import SendMail, SendOutcome
from services.notification.settings import load_mail_settings
from services.notification.smtp import SmtpPerformer
from services.notification.store import PostgresMails

DEADLINE_S = 60


@pytest.fixture
async def bench(server_dsn: str) -> AsyncIterator[Bench]:
    async with new_database(server_dsn) as dsn:
        found = Bench(lambda _: PostgresStore(dsn), PostgresMails())
        await found.start()
        yield found
        await found.close()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with smtp_sink() as found:
        yield found


@pytest.fixture
async def performer(sink: Sink) -> AsyncIterator[SmtpPerformer]:
    found = SmtpPerformer(sink.settings())
    yield found
    await found.close()


def request(number: int = 1, address: str = "ann@shop.example", name: str = "Ann") -> SendMail:
    return SendMail(
        message_id=f"<m{number}@orders.example>",
        order_id=f"O{number}",
        kind="confirmation",
        name=name,
        address=address,
        event=completed(),
        ended_at=NOW,
    )


async def send(performer: SmtpPerformer, *requests: SendMail) -> list[SendOutcome]:
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.gather(*(performer.perform("send-mail", found, resumed=False) for found in requests))


async def perform(performer: SmtpPerformer, bench: Bench, effects: list[Effect]) -> None:
    """What the runtime does with effects: perform them, tell their ends."""
    outcomes = await send(performer, *(effect.request for effect in effects))
    ended = [bench.ended(effect, outcome) for effect, outcome in zip(effects, outcomes, strict=True)]
    await bench.step(*ended)


async def test_an_orders_end_arrives_as_a_mail(bench: Bench, sink: Sink, performer: SmtpPerformer) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    bench.tell("O2", cancelled())
    await perform(performer, bench, await bench.step())
    mails = {str(mail["Subject"]): mail for mail in sink.mails}
    assert set(mails) == {"Your order O1 is complete", "Your order O2 was cancelled"}
    confirmation = mails["Your order O1 is complete"]
    assert (confirmation["From"], confirmation["To"]) == ("orders@shop.example", "ann@shop.example")
    assert "  2 x CUP at 1.50 GBP = 3.00 GBP" in confirmation.get_content()
    assert sink.recipients == ["ann@shop.example"] * 2
    assert await bench.status("O1") == [("confirmation", "sent", 1)]


async def test_a_crash_between_send_and_record_repeats_the_mail_under_its_message_id(
    bench: Bench, sink: Sink, performer: SmtpPerformer
) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    (effect,) = await bench.step()
    assert await send(performer, effect.request) == [SendOutcome("sent")]
    # The process dies here: the mail is out, its end is not recorded.
    reborn = SmtpPerformer(sink.settings())
    (pending,) = await bench.start()
    again = resumed(pending)
    assert reborn.read(pending.kind, pending.request) == effect.request
    await perform(reborn, bench, [again])
    await reborn.close()
    assert len(sink.mails) == 2
    assert sink.mails[0]["Message-ID"] == sink.mails[1]["Message-ID"] == effect.request.message_id
    assert sink.mails[0].as_bytes() == sink.mails[1].as_bytes()
    assert await bench.start() == []
    assert await bench.status("O1") == [("confirmation", "sent", 1)]


async def test_a_mail_goes_out_when_the_server_is_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "AWAY_S", 0.0)
    async with smtp_sink() as gone:
        settings = gone.settings()
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    performer = SmtpPerformer(settings)
    await perform(performer, bench, await bench.step())
    assert await bench.status("O1") == [("confirmation", "retrying", 1)]
    async with smtp_sink(settings.smtp_port) as back:
        await perform(performer, bench, await bench.later(1.1))
        assert len(back.mails) == 1
        await performer.close()
    assert await bench.status("O1") == [("confirmation", "sent", 2)]


async def test_a_refusal_for_good_is_final_and_one_for_now_is_not(sink: Sink, performer: SmtpPerformer) -> None:
    sink.answers = ["554 spam", "451 later"]
    assert await send(performer, request(1)) == [SendOutcome("refused", "SMTPDataError 554")]
    assert await send(performer, request(2)) == [SendOutcome("failed", "SMTPDataError 451")]
    assert await send(performer, request(3)) == [SendOutcome("sent")]
    sink.refuse = "550 no such user ann@shop.example"
    assert await send(performer, request(4)) == [SendOutcome("refused", "SMTPRecipientRefused 550")]
    sink.refuse = "452 full"
    assert await send(performer, request(5)) == [SendOutcome("failed", "SMTPRecipientRefused 452")]
    assert sink.connections == 1


async def test_what_is_wrong_with_the_client_is_no_refusal_of_its_mails(sink: Sink, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    sink.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(sink.tls)
    sink.accounts = {b"shop": b"secret"}
    plain = sink.settings()
    trusting = replace(plain, tls="required", ca_file=str(tmp_path / "ca.pem"))
    for settings, error in (
        (plain, "SSLCertVerificationError"),
        (replace(plain, tls="off"), "SMTPSenderRefused 530"),
        (trusting, "SMTPSenderRefused 530"),
        (replace(trusting, username="shop", password="wrong"), "SMTPAuthenticationError 535"),
    ):
        performer = SmtpPerformer(settings)
        assert await send(performer, request()) == [SendOutcome("failed", error)]
        await performer.close()
    performer = SmtpPerformer(replace(trusting, username="shop", password="secret"))
    assert await send(performer, request(1), request(2)) == [SendOutcome("sent")] * 2
    await performer.close()


async def test_a_server_that_refuses_the_sender_gets_the_mail_when_that_is_put_right(
    sink: Sink, performer: SmtpPerformer
) -> None:
    sink.refuse_sender = "550 sender domain not allowed"
    assert await send(performer, request()) == [SendOutcome("failed", "SMTPSenderRefused 550")]
    sink.refuse_sender = None
    assert await send(performer, request()) == [SendOutcome("sent")]


@pytest.mark.parametrize(
    "env",
    [
        {"MAIL_FROM": "Shop, Ltd <o@shop.example>"},
        {"MAIL_FROM": "nobody"},
        {"MAIL_FROM": "a@shop.example, b@shop.example"},
        {"SMTP_TLS": "perhaps"},
        {"SMTP_USERNAME": "shop", "SMTP_TLS": "required"},
        {"SMTP_USERNAME": "shop", "SMTP_PASSWORD": "secret"},
        {"SMTP_CA_FILE": "/no/such/file"},
    ],
)
def test_settings_with_which_no_mail_could_be_sent_are_refused_at_the_start(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load_mail_settings(env)


def test_a_sender_may_have_a_name() -> None:
    named = '"Shop, Ltd" <o@shop.example>'
    assert load_mail_settings({"MAIL_FROM": named}).mail_from == named


async def test_one_connection_carries_many_mails(sink: Sink, performer: SmtpPerformer) -> None:
    outcomes = await send(performer, *(request(number) for number in range(50)))
    assert outcomes == [SendOutcome("sent")] * 50
    assert {mail["Message-ID"] for mail in sink.mails} == {f"<m{number}@orders.example>" for number in range(50)}
    assert sink.connections == 2


async def test_a_connection_that_the_server_closed_is_opened_again_for_the_same_attempt(
    sink: Sink, performer: SmtpPerformer
) -> None:
    assert await send(performer, request(1)) == [SendOutcome("sent")]
    sink.hang_up()
    assert await send(performer, request(2)) == [SendOutcome("sent")]
    assert sink.connections == 2


async def test_a_server_that_does_not_answer_costs_no_more_than_the_deadline(sink: Sink) -> None:
    performer = SmtpPerformer(sink.settings(timeout_s=0.3, connections=1))
    sink.hold = asyncio.Event()
    started = time.monotonic()
    outcomes = await send(performer, *(request(number) for number in range(20)))
    # The first one waits in vain; those behind it do not wait as long each.
    assert time.monotonic() - started < 5
    assert {outcome.result for outcome in outcomes} == {"failed"}
    assert "the mail server is away" in {outcome.error for outcome in outcomes}
    sink.hold.set()
    await performer.close()


async def test_a_cancelled_attempt_leaves_no_half_sent_dialogue_behind(sink: Sink) -> None:
    performer = SmtpPerformer(sink.settings(connections=1))
    sink.hold = asyncio.Event()
    attempt = asyncio.create_task(performer.perform("send-mail", request(1), resumed=False))
    async with asyncio.timeout(DEADLINE_S):
        await sink.reached.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    sink.hold.set()
    sink.hold = None
    assert await send(performer, request(2)) == [SendOutcome("sent")]
    assert sink.mails[-1]["Message-ID"] == "<m2@orders.example>"
    await performer.close()


async def test_more_than_may_wait_fails_at_once(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "MAX_WAITING", 3)
    performer = SmtpPerformer(sink.settings(connections=1))
    outcomes = await send(performer, *(request(number) for number in range(10)))
    assert {outcome.result for outcome in outcomes} == {"sent", "failed"}
    assert "too many mails are waiting" in {outcome.error for outcome in outcomes}
    await performer.close()


async def test_an_address_in_other_letters_is_written_to(sink: Sink, performer: SmtpPerformer) -> None:
    assert await send(performer, request(address="łucja@sklep.example")) == [SendOutcome("sent")]
    assert sink.recipients == ["łucja@sklep.example"]


async def test_an_unusable_address_never_reaches_the_server(sink: Sink, performer: SmtpPerformer) -> None:
    (outcome,) = await send(performer, request(address='a"b@shop.example'))
    assert outcome.result == "refused"
    assert sink.connections == 0


async def test_a_hostile_name_adds_neither_header_nor_command(sink: Sink, performer: SmtpPerformer) -> None:
    name = "Ann\r\n.\r\nRCPT TO:<mallory@evil.example>\r\nBcc: mallory@evil.example"
    assert await send(performer, request(name=name)) == [SendOutcome("sent")]
    assert sink.recipients == ["ann@shop.example"]
    assert sink.mails[0]["Bcc"] is None
