"""`POST /orders/{id}/plan`: the words of a dry run, over orders that really got there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from messaging.http import make_app
from services.orders.api.plan import Plans
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.store import LOOK
from simulation.kit import Shop, approve, pause

BY = {"operator": "op", "reason": "ticket 7"}


@pytest.fixture
def open_shop() -> Shop:
    return Shop()


@pytest_asyncio.fixture
async def http(open_shop: Shop) -> AsyncIterator[TestClient[Any, Any]]:
    """The API over the simulation's orders."""

    async def fetch_of(key: str, query: str, order_id: str, *command: str) -> list[Any]:
        assert (query, order_id) == (LOOK, key)
        state, _ = open_shop.system.parts.orders.states.get(order_id, (None, 0))
        return [{"state": state, "commands": None}]

    async def ready() -> bool:
        return True

    async def policies() -> Policies:
        return DEFAULTS

    app = make_app(
        Plans(fetch_of, policies, open_shop.system.clock.now).routes(), CollectorRegistry(), ready, lambda: True, {}
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
def plan(http: TestClient[Any, Any]) -> Callable[..., Any]:
    async def asked(verb: str, order: str = "O", **data: Any) -> dict[str, Any]:
        response = await http.post(f"/orders/{order}/plan", json={"type": f"orders.{verb}.v1", "data": data})
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer

    return asked


def told(steps: list[dict[str, Any]]) -> list[str]:
    return [step["type"].removeprefix("orders.").removesuffix(".v1") for step in steps]


async def test_a_cancellation_tells_what_it_would_send_and_give_back(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    before = open_shop.system.history("O")
    answer = await plan("cancel-by-operator", **BY)
    assert answer["verdict"] == {"accepted": True, "duplicate": False, "reason": None, "message": ""}
    assert told(answer["steps"]) == ["command-accepted", "cancelled-by-operator", "inventory.release-stock"]
    release = answer["steps"][-1]
    assert (release["kind"], release["topic"]) == ("command", "inventory.commands.v1")
    assert release["data"].keys() == {"reservation_id"}
    assert answer["steps"][1] == {"kind": "note", "type": "orders.cancelled-by-operator", "topic": None, "data": BY}
    assert told(answer["then"]) == ["inventory.stock-released", "stock-released", "order-cancelled"]
    assert (answer["money"], answer["stock"]) == ([], [{"kind": "release", "sku": "tea", "quantity": 2}])
    assert (answer["before"]["status"], answer["before"]["waiting_for"]) == ("AWAITING_APPROVAL", "approval")
    assert (answer["outcome"]["status"], answer["outcome"]["reason"]) == ("CANCELLED", "customer-request")
    assert open_shop.system.history("O") == before


async def test_an_approval_tells_the_money_and_the_parcel(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    answer = await plan("approve-payment", approved_by="boss")
    assert answer["money"] == [{"kind": "charge", "amount_minor": 500, "currency": "GBP"}]
    assert answer["stock"] == [{"kind": "ship", "sku": "tea", "quantity": 2}]
    assert answer["outcome"]["status"] == "COMPLETED"


async def test_what_would_be_refused_says_why_and_moves_nothing(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    refused = {
        ("retry-now", "not-allowed"): BY,
        ("resume-order", "not-allowed"): BY,
        ("approve-payment", "invalid"): {"approved_by": 7},
        ("nonsense", "invalid"): {},
    }
    for (verb, reason), data in refused.items():
        answer = await plan(verb, **data)
        assert (answer["verdict"]["accepted"], answer["verdict"]["reason"]) == (False, reason)
        assert answer["verdict"]["message"]
        assert (answer["then"], answer["money"], answer["stock"]) == ([], [], [])
        assert answer["outcome"] == answer["before"]
    unknown = await plan("cancel-order", order="NOBODY", reason="no")
    assert (unknown["verdict"]["reason"], unknown["before"], unknown["outcome"]) == ("unknown-order", None, None)


async def test_a_charge_that_may_be_taken_meanwhile_is_said_to_be_refunded_then(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    open_shop.system.gateway.away = True
    open_shop.when(approve())
    answer = await plan("cancel-order", reason="no")
    assert [(move["kind"], move["amount_minor"]) for move in answer["money"]] == [("void", 500)]
    assert "plan.if-it-was-taken" in [step["type"] for step in answer["then"]]
    assert answer["outcome"]["status"] == "CANCELLED"


async def test_a_line_is_foreseen_with_its_verdict_and_without_a_price_that_nobody_knows_yet(
    open_shop: Shop, plan: Any
) -> None:
    open_shop.given_order()
    answer = await plan("add-line-item", sku="mug", quantity=3)
    assert answer["verdict"]["accepted"] is True
    assert told(answer["steps"]) == ["inventory.reserve-stock"]
    assert told(answer["then"]) == ["inventory.stock-reserved", "command-accepted", "line-item-added"]
    added = answer["then"][-1]["data"]
    assert (added["quantity"], added["unit_price_minor"], added["total_minor"]) == (3, None, None)
    assert answer["stock"] == [{"kind": "reserve", "sku": "mug", "quantity": 3}]
    assert answer["outcome"]["waiting_for"] == "approval"


async def test_the_price_of_a_sku_that_the_order_has_seen_is_foreseen(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    answer = await plan("add-line-item", sku="tea", quantity=1)
    assert answer["then"][-1]["data"]["total_minor"] == 750


async def test_a_paused_order_is_foreseen_to_stand_still(open_shop: Shop, plan: Any) -> None:
    open_shop.given_order()
    assert (await plan("pause-order", **BY))["outcome"]["paused"] is True
    open_shop.when(pause())
    answer = await plan("add-line-item", sku="mug", quantity=1)
    assert answer["verdict"]["accepted"] is None
    assert (await plan("cancel-order", reason="no"))["outcome"]["waiting_for"] == "operator"
    assert (await plan("resume-order", **BY))["outcome"]["waiting_for"] == "approval"


async def test_an_order_that_is_not_there_yet_can_be_foreseen_too(plan: Any) -> None:
    answer = await plan("start-order", order="NEW", customer_id="ann", items=[{"sku": "tea", "quantity": 2}])
    assert answer["before"] is None
    assert (answer["outcome"]["status"], answer["outcome"]["waiting_for"]) == ("AWAITING_APPROVAL", "approval")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type": "orders.cancel-order.v1"}',
        b'{"type": "x", "data": {}, "more": 1}',
        b"\xff",
        b'{"type": [], "data": {}}',
        b'{"type": null, "data": {}}',
    ],
)
async def test_a_body_that_is_no_command_is_a_problem_that_says_what_it_should_be(http: Any, body: bytes) -> None:
    response = await http.post("/orders/O/plan", data=body)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["title"]) == (400, "Not a command")
    assert '"type"' in problem["detail"]
