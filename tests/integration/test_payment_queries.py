"""What the payment service answers over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from payment_backends import PostgresBackend, postgres_backend
from payment_bench import CHARGE, ORDER, Shop, charge, refund, void
from prometheus_client import CollectorRegistry
from workbench import fresh_database

from messaging.errors import SettingsError
from messaging.http import PROBLEM_JSON, make_app
from messaging.settings import load_settings
from messaging.spread import Databases
from services.payment.app import build
from services.payment.gateway.port import GatewayUnavailable
from services.payment.queries import PaymentQueries


@pytest.fixture
async def shop(server_dsn: str) -> AsyncIterator[Shop]:
    async with postgres_backend(server_dsn) as backend:
        shop = Shop(backend)
        await shop.start()
        yield shop
        await shop.stop()


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[TestClient[Any, Any]]:
    async def ready() -> bool:
        return True

    assert isinstance(shop.backend, PostgresBackend)
    databases = Databases((shop.backend.dsn,), 4, max_size=4, command_timeout_s=30)
    queries = PaymentQueries(databases, shop.process.gateway)
    app = make_app(queries.routes(), CollectorRegistry(), ready, lambda: True, {})
    async with TestClient(TestServer(app)) as client:
        yield client
    await databases.close()


async def got(client: TestClient[Any, Any], path: str, **query: str) -> dict[str, Any]:
    response = await client.get(path, params=query)
    assert response.status == 200, await response.text()
    found: dict[str, Any] = await response.json()
    return found


async def test_an_order_that_was_never_charged_has_no_charges(client: TestClient[Any, Any]) -> None:
    assert await got(client, "/charges", order_id="none") == {"items": [], "next": None}
    assert await got(client, "/gateway/entries", order_id="none") == {"items": [], "next": None}


async def test_a_charge_shows_what_was_captured_and_refunded(shop: Shop, client: TestClient[Any, Any]) -> None:
    await shop.ask(charge())
    await shop.ask(refund(amount=400))
    assert await got(client, "/charges", order_id=ORDER) == {
        "items": [
            {
                "charge_id": CHARGE,
                "order_id": ORDER,
                "amount_minor": 1_000,
                "currency": "GBP",
                "status": "captured",
                "captured_minor": 1_000,
                "refunded_minor": 400,
            }
        ],
        "next": None,
    }
    entries = await got(client, "/gateway/entries", order_id=ORDER)
    at = "2030-01-01T00:00:00Z"
    entry = {"charge_id": CHARGE, "currency": "GBP", "at": at}
    assert entries == {
        "items": [{"kind": "refund", "amount_minor": 400, **entry}, {"kind": "charge", "amount_minor": 1_000, **entry}],
        "next": None,
    }


async def test_a_charge_that_was_voided_before_it_was_asked_for_has_no_amount(
    shop: Shop, client: TestClient[Any, Any]
) -> None:
    await shop.ask(void())
    (item,) = (await got(client, "/charges", order_id=ORDER))["items"]
    assert (item["status"], item["amount_minor"], item["currency"], item["captured_minor"]) == ("voided", None, None, 0)
    assert (await got(client, "/gateway/entries", order_id=ORDER))["items"] == []


@pytest.mark.parametrize("path", ["/charges", "/gateway/entries"])
async def test_the_list_of_all_orders_comes_newest_first_page_by_page(
    shop: Shop, client: TestClient[Any, Any], path: str
) -> None:
    for number in range(120):
        await shop.ask(charge(charge_id=f"charge-{number:03}"), order_id=f"ORDER-{number:03}")
        shop.clock.pass_time(1)
    pages: list[list[str]] = []
    query: dict[str, str] = {}
    while True:
        page = await got(client, path, **query)
        pages.append([item["charge_id"] for item in page["items"]])
        if page["next"] is None:
            break
        query["after"] = page["next"]
        # What is new since the first page does not move the others.
        await shop.ask(charge(charge_id=f"new-{len(pages)}"), order_id=f"NEW-{len(pages)}")
        shop.clock.pass_time(1)
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [charge_id for page in pages for charge_id in page] == [f"charge-{n:03}" for n in reversed(range(120))]
    assert len((await got(client, path, limit="500"))["items"]) == 122


@pytest.mark.parametrize("path", ["/charges", "/gateway/entries"])
@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"after": "-1"},
        {"after": "1" * 30},
        {"order": "x"},
        {"order_id": "\x00"},
    ],
)
async def test_what_cannot_be_understood_is_a_problem(
    client: TestClient[Any, Any], path: str, query: dict[str, str]
) -> None:
    response = await client.get(path, params=query)
    assert (response.status, response.content_type) == (400, PROBLEM_JSON)


async def test_a_gateway_that_is_away_is_said_to_be(shop: Shop, client: TestClient[Any, Any]) -> None:
    await shop.backend.ledger.close()  # type: ignore[attr-defined]
    response = await client.get("/gateway/entries")
    assert (response.status, response.content_type) == (503, PROBLEM_JSON)
    assert await got(client, "/charges") == {"items": [], "next": None}


async def test_the_service_is_wired_from_the_environment(server_dsn: str) -> None:
    async with fresh_database(server_dsn) as dsn, fresh_database(server_dsn) as gateway_dsn:
        env = {"PAYMENT_DATABASE_URL": dsn, "GATEWAY_DATABASE_URL": gateway_dsn, "PAYMENT_FAILURE_RATE": "0.2"}
        service = await build(load_settings("payment", env=env), env)
        assert service.topics == ("payment.commands.v1",)
        assert [route.path for route in service.routes()] == ["/charges", "/gateway/entries"]
        assert service.close is not None
        await service.close()
        for name, value in (
            ("PAYMENT_FAILURE_RATE", "1.5"),
            ("PAYMENT_CALL_TIMEOUT_S", "0"),
            ("PAYMENT_CONCURRENCY", "0"),
        ):
            with pytest.raises(SettingsError, match=name):
                await build(load_settings("payment", env=env), {**env, name: value})
        nowhere = {**env, "GATEWAY_DATABASE_URL": "postgresql:///none?host=/nowhere"}
        with pytest.raises(GatewayUnavailable, match="database"):
            await build(load_settings("payment", env=env), nowhere)
