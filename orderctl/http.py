"""The query APIs, with errors that say what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from pydantic_core import from_json, to_json
from yarl import URL

from orderctl.command import Command
from orderctl.errors import ApiError, ApiUnreachableError, NotFoundError, UsageError
from orderctl.settings import Settings

_TIMEOUT_S: Final = 10.0


class Api:
    """One service's queries. `name` is the service as its setting calls it."""

    def __init__(self, session: aiohttp.ClientSession, name: str, base_url: str) -> None:
        self._session = session
        self._name = name
        self._base = base_url.rstrip("/")

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, missing: str | None = None
    ) -> dict[str, Any]:
        """The JSON object at `path`. Raises `NotFoundError` with the text `missing` on 404, `UsageError` on 400,
        `ApiUnreachableError`, `ApiError`."""
        return await self._ask("GET", path, query, None, missing)

    async def post(self, path: str, body: object) -> dict[str, Any]:
        """The JSON object that answers `body`, sent as JSON. Raises as `get` does."""
        return await self._ask("POST", path, None, to_json(body), None)

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None, missing: str | None
    ) -> dict[str, Any]:
        url = f"{self._base}{path}"
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            address = URL(url, encoded=True).update_query(dict(query or {}))
            async with self._session.request(method, address, data=body, headers=headers) as response:
                answer, status = await response.read(), response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnreachableError(self._name, self._base, _cause_of(error)) from error
        document = _parse(answer)
        if status == 200 and isinstance(document, dict):
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        if status == 404 and missing is not None:
            raise NotFoundError(missing)
        if status == 400:
            raise UsageError(str(detail or "the query was refused"))
        raise ApiError(self._name, url, status, str(detail or "it is no answer of this system"))

    async def get_all(self, path: str, query: Mapping[str, str] | None = None, missing: str | None = None) -> list[Any]:
        """All items of the list at `path`, page after page."""
        items: list[Any] = []
        wanted = dict(query or {})
        while True:
            page = await self.get(path, wanted, missing)
            items += page.get("items", [])
            if page.get("next") is None:
                return items
            wanted["after"] = str(page["next"])


class Apis:
    """All query APIs over one session. Use it as `async with`."""

    def __init__(self, settings: Settings) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        self.orders = Api(self._session, "orders", settings.orders_api_url)
        self.inventory = Api(self._session, "inventory", settings.inventory_api_url)
        self.payment = Api(self._session, "payment", settings.payment_api_url)

    async def __aenter__(self) -> Apis:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def order(self, order_id: str) -> dict[str, Any]:
        """The order. Raises `NotFoundError`."""
        return await self.orders.get(order_path(order_id), missing=_no_order(order_id))

    async def items(self, order_id: str) -> list[Any]:
        """The order's lines. Raises `NotFoundError`."""
        return await self.orders.get_all(f"{order_path(order_id)}/items", missing=_no_order(order_id))

    async def history(self, order_id: str) -> list[Any]:
        """What happened to the order, oldest first. Raises `NotFoundError`."""
        return await self.orders.get_all(f"{order_path(order_id)}/history", missing=_no_order(order_id))

    async def plan(self, command: Command, *, known: bool) -> dict[str, Any]:
        """What the command would do if it was sent now. `known`: its id may have been sent before."""
        identity = {"id": command.id, "source": command.source} if known else {}
        data = command.data.model_dump(mode="json", exclude_unset=True)
        return await self.orders.post(
            f"/orders/{_part(command.key)}/plan", {"type": command.type, "data": data} | identity
        )

    async def tape(self, order_id: str) -> dict[str, Any]:
        """Everything that is on record about the order, in causal order. Raises `NotFoundError`."""
        return await self.orders.get(f"/orders/{_part(order_id)}/tape", missing=_no_order(order_id))

    async def policies(self) -> list[Any]:
        """The retry policies in effect."""
        return await self.orders.get_all("/policies")

    async def sku(self, sku: str) -> dict[str, Any]:
        """Price and counts of a SKU. Raises `NotFoundError`."""
        missing = f"There is no SKU {sku}. `orderctl receive-stock {sku} QUANTITY --price-minor N` makes one."
        return await self.inventory.get(f"/skus/{_part(sku)}", missing=missing)

    async def held(self, sku: str | None) -> list[Any]:
        """What is held now, of all SKUs or of one."""
        query = {"state": "held", "limit": "500"} | ({} if sku is None else {"sku": sku})
        return await self.inventory.get_all("/reservations", query)

    async def charges(self, order_id: str) -> list[Any]:
        """The order's charges; an empty list for an order that nobody charged."""
        return await self.payment.get_all("/charges", {"order_id": order_id})

    async def gateway_entries(self, order_id: str) -> list[Any]:
        """What moved at the gateway for the order."""
        return await self.payment.get_all("/gateway/entries", {"order_id": order_id})


def order_path(order_id: str) -> str:
    """Where the orders API tells of an order."""
    return f"/orders/{_part(order_id)}"


def _cause_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    # The library's own words tell the address twice, and of TLS where there is none.
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno).lower()
    return str(error) or type(error).__name__


def _part(text: str) -> str:
    return quote(text, safe="")


def _no_order(order_id: str) -> str:
    return f"There is no order {order_id}. `orderctl list` shows the newest; `orderctl start` makes one."


def _parse(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return None
