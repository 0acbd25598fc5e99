"""Notification on its tables: the same conversations with the tables in memory and with a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from notification_bench import (
    Bench,
    cancelled,
    completed,
    erased,
    failed,
    new_database,
    registered,
    resumed,
)
from prometheus_client import CollectorRegistry

from messaging.http import make_app
from messaging.memory import MemoryDatabase, MemoryStore
from messaging.postgres import PostgresStore
from services.notification.domain import ERASED, SendOutcome
from services.notification.memory import MemoryMails
from services.notification.queries import routes
from services.notification.store import PostgresMails

SENT, FAILED, REFUSED = SendOutcome("sent"), SendOutcome("failed", "Away"), SendOutcome("refused", "No 550")


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest, server_dsn: str) -> AsyncIterator[Bench]:
    if request.param == "memory":
        held: list[MemoryDatabase] = []
        found = Bench(lambda clock: MemoryStore(held[0]), MemoryMails())
        held.append(MemoryDatabase(found.clock))
        await found.start()
        yield found
        return
    async with new_database(server_dsn) as dsn:
        found = Bench(lambda _: PostgresStore(dsn), PostgresMails())
        await found.start()
        yield found
        await found.close()


async def test_ended_orders_ask_for_one_mail_each_and_a_failed_one_for_none(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    bench.tell("O2", cancelled())
    bench.tell("O3", failed())
    effects = await bench.step()
    assert [(effect.key, effect.request.kind, effect.request.address) for effect in effects] == [
        ("O1", "confirmation", "ann@shop.example"),
        ("O2", "cancellation", "ann@shop.example"),
    ]
    await bench.step(*(bench.ended(effect, SENT) for effect in effects))
    assert await bench.status("O1") == [("confirmation", "sent", 1)]
    assert await bench.status("O2") == [("cancellation", "sent", 1)]
    assert await bench.status("O3") == []


async def test_a_repeated_event_sends_nothing_again(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed(), "e1")
    bench.tell("O1", completed(), "e1")
    effects = await bench.step()
    assert len(effects) == 1
    bench.tell("O1", completed(), "e1")
    assert await bench.step() == []
    await bench.step(bench.ended(effects[0], SENT))
    bench.tell("O1", completed(), "e1")
    assert await bench.step() == []
    assert await bench.status("O1") == [("confirmation", "sent", 1)]


async def test_the_address_registered_last_is_written_to(bench: Bench) -> None:
    bench.tell("C1", registered())
    await bench.step()
    bench.tell("C1", registered(email="two@shop.example"))
    bench.tell("C1", registered(email="three@shop.example"))
    bench.tell("O1", completed())
    (effect,) = await bench.step()
    assert effect.request.address == "three@shop.example"


async def test_a_mail_waits_until_its_customer_is_known(bench: Bench) -> None:
    bench.tell("O1", completed())
    assert await bench.step() == []
    assert await bench.status("O1") == [("confirmation", "waiting", 0)]
    assert await bench.later(1.1) == []
    bench.tell("C1", registered())
    assert await bench.later(0.1) == []
    (effect,) = await bench.later(2)
    await bench.step(bench.ended(effect, SENT))
    assert await bench.status("O1") == [("confirmation", "sent", 1)]


async def test_a_failed_attempt_is_repeated_with_its_message_id_and_the_newest_address(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    (first,) = await bench.step()
    assert await bench.step(bench.ended(first, FAILED)) == []
    assert await bench.status("O1") == [("confirmation", "retrying", 1)]
    bench.tell("C1", registered(email="new@shop.example"))
    (second,) = await bench.later(1.1)
    assert second.request == first.request.model_copy(update={"address": "new@shop.example"})
    await bench.step(bench.ended(second, REFUSED))
    assert await bench.status("O1") == [("confirmation", "undeliverable", 2)]
    assert await bench.later(3600) == []


async def test_an_erased_customers_mails_are_undeliverable_whether_they_wait_or_come_later(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    bench.tell("O2", completed("C2"))
    (first,) = await bench.step()
    await bench.step(bench.ended(first, FAILED))
    bench.tell("C1", erased())
    bench.tell("C2", erased("C2"))
    bench.tell("O3", cancelled())
    assert await bench.step() == []
    assert await bench.later(5) == []
    for order_id, kind, attempts in (("O1", "confirmation", 1), ("O2", "confirmation", 0), ("O3", "cancellation", 0)):
        assert await bench.status(order_id) == [(kind, "undeliverable", attempts)]
    mails = await bench.tables.load_mails(await bench.stores[-1].begin(), ["O1", "O2", "O3"])
    assert {mail.last_error for mail in mails.values()} == {ERASED}
    contacts = await bench.tables.load_contacts(await bench.stores[-1].begin(), ["C1", "C2"])
    assert {(contact.name, contact.email) for contact in contacts.values()} == {("", "")}


async def test_an_attempt_under_way_while_its_customer_is_erased_is_the_last(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("O1", completed())
    (attempt,) = await bench.step()
    bench.tell("C1", erased())
    await bench.step()
    await bench.step(bench.ended(attempt, FAILED))
    assert await bench.later(5) == []
    assert await bench.status("O1") == [("confirmation", "undeliverable", 1)]


async def test_who_registers_again_gets_mails_again(bench: Bench) -> None:
    bench.tell("C1", registered())
    bench.tell("C1", erased())
    bench.tell("C1", registered(email="two@shop.example"))
    bench.tell("C1", erased(duplicate=True))
    bench.tell("O1", completed())
    (effect,) = await bench.step()
    assert effect.request.address == "two@shop.example"


async def test_a_registration_that_is_published_once_more_behind_the_erasure_brings_nothing_back(bench: Bench) -> None:
    bench.tell("C1", registered(), "r", sequence=7)
    await bench.step()
    bench.tell("C1", erased(), sequence=9)
    await bench.step()
    bench.tell("C1", registered(), "r", sequence=7)
    bench.tell("O1", completed())
    assert await bench.step() == []
    assert await bench.status("O1") == [("confirmation", "undeliverable", 0)]


async def test_nothing_of_an_erased_address_is_left_in_the_database(server_dsn: str) -> None:
    async with new_database(server_dsn) as dsn:
        bench = Bench(lambda _: PostgresStore(dsn), PostgresMails())
        await bench.start()
        bench.tell("C1", registered(name="Canary", email="canary@shop.example"))
        bench.tell("O1", completed())
        bench.tell("O2", completed())
        sent, failing = await bench.step()
        await bench.step(bench.ended(sent, SENT), bench.ended(failing, FAILED))
        bench.tell("C1", erased())
        await bench.step()
        connection = await asyncpg.connect(dsn)
        try:
            for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                rows = await connection.fetch(f"SELECT t::text AS row FROM {table[0]} t")
                assert not [row for row in rows if "anary" in row["row"]], table[0]
        finally:
            await connection.close()
        await bench.close()


async def test_an_attempt_under_way_is_found_by_the_next_owner_as_it_was(bench: Bench) -> None:
    bench.tell("C1", registered(name="O'Neil \U0001f600\r\nBcc: x"))
    bench.tell("O1", completed())
    (effect,) = await bench.step()
    (pending,) = await bench.start()
    assert resumed(pending) == effect
    await bench.step(bench.ended(effect, SENT))
    assert await bench.start() == []
    assert await bench.status("O1") == [("confirmation", "sent", 1)]


async def test_many_orders_of_many_customers_go_in_one_batch(bench: Bench) -> None:
    for number in range(100):
        bench.tell(f"C{number}", registered(f"C{number}", email=f"c{number}@shop.example"))
    for number in range(200):
        bench.tell(f"O{number}", completed(f"C{number % 100}"))
    effects = await bench.step()
    assert [effect.request.address for effect in effects] == [f"c{number % 100}@shop.example" for number in range(200)]
    await bench.step(*(bench.ended(effect, SENT) for effect in effects))
    assert await bench.status("O199") == [("confirmation", "sent", 1)]


async def test_mails_are_read_over_http_without_any_address(server_dsn: str) -> None:
    async with new_database(server_dsn) as dsn, asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        bench = Bench(lambda _: PostgresStore(dsn), PostgresMails())
        await bench.start()
        bench.tell("C1", registered())
        bench.tell("O1", completed())
        bench.tell("O2", completed())
        first, second = await bench.step()
        await bench.step(bench.ended(first, SENT), bench.ended(second, REFUSED))
        app = make_app(routes(pool), CollectorRegistry(), _yes, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            text = await (await client.get("/mails?order_id=O1")).text()
            told = json.loads(text)
            assert told["items"][0].pop("cause"), "the event that the mail tells of"
            assert told == {
                "items": [
                    {
                        "order_id": "O1",
                        "kind": "confirmation",
                        "status": "sent",
                        "attempts": 1,
                        "last_error": None,
                        "message_id": first.request.message_id,
                        "created_at": "2026-03-01T12:00:00.003000Z",
                        "sent_at": "2026-03-01T12:00:00.003000Z",
                        "subject": "Your order O1 is complete",
                    }
                ],
                "next": None,
            }
            lost = await (await client.get("/mails?status=undeliverable")).json()
            assert [(item["order_id"], item["last_error"]) for item in lost["items"]] == [("O2", "No 550")]
            for nothing in ("/mails?order_id=O9", "/mails?order_id=%00", "/mails?order_id=O1&status=waiting"):
                assert await (await client.get(nothing)).json() == {"items": [], "next": None}
            for bad in ("/mails", "/mails?status=lost&order_id=O1", "/mails?status=sent", "/mails?order=O1"):
                answer = await client.get(bad)
                assert (answer.status, answer.content_type) == (400, "application/problem+json")
        await bench.close()


async def _yes() -> bool:
    return True
