"""A small client of the system, for tests: sends envelopes as any stranger would, and waits for what becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaProducer
from waiting import until

from contracts.topics import ORDERS_EVENTS
from e2e.journal import DEADLINE_S, Event, Journal
from e2e.stack import Place

SOURCE: Final = "e2e"
STRUCTURED: Final = [("content-type", b"application/cloudevents+json")]
ENDS: Final = frozenset({"order-completed", "order-cancelled", "order-failed"})
Lines = Mapping[str, int] | Sequence[tuple[str, int]]
Headers = Sequence[tuple[str, bytes]]
T = TypeVar("T")


class Shop:
    """Use it as `async with Shop(place) as shop`. Ids that it makes are unlike those of any other run."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.run = uuid4().hex[:8]
        #: Where garbage was put onto event topics, which an audit is right to find.
        self.garbage: set[str] = set()
        self.journal = Journal(place.bootstrap, place.partitions)
        self._numbers = count(1)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=place.bootstrap, acks="all", enable_idempotence=True, max_request_size=8 * 1024 * 1024
        )
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        await self._producer.start()
        await self.journal.open()
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), trust_env=False)
        # Whose order it is when a scenario does not care; version 2 asks who that is.
        data = {"customer_id": "somebody", "name": "Some Body", "email": "somebody@example.com"}
        answer = await self.ask("customer.register-customer.v1", "somebody", data)
        assert answer.short == "customer-registered", answer.data
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self.journal.close()
        await self._producer.stop()

    def new_id(self, what: str) -> str:
        """An id that nobody has used."""
        return f"{what}-{self.run}-{next(self._numbers)}"

    # --- sending ------------------------------------------------------------------------------------------------------

    async def put(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> str:
        """Any bytes onto any topic; returns where the broker has put them, as `topic/partition/offset`."""
        async with asyncio.timeout(DEADLINE_S):
            if key is None and value is None:
                # Kafka takes it, the client's usual call does not.
                batch = self._producer.create_batch()
                batch.append(timestamp=None, key=None, value=None, headers=list(headers))
                there = await (await self._producer.send_batch(batch, topic, partition=partition or 0))
            else:
                there = await self._producer.send_and_wait(
                    topic, value, key=key, headers=list(headers), partition=partition
                )
        return f"{there.topic}/{there.partition}/{there.offset}"

    async def send(
        self, type_: str, key: str, data: Mapping[str, Any], *, id: str | None = None, source: str = SOURCE
    ) -> str:
        """A command onto the topic of its type; returns its id."""
        command_id = id or self.new_id("cmd")
        value = json.dumps(envelope(type_, key, data, command_id, source)).encode()
        await self.put(f"{type_.split('.', 1)[0]}.commands.v1", key.encode(), value, STRUCTURED)
        return command_id

    async def ask(self, type_: str, key: str, data: Mapping[str, Any], **identity: str) -> Event:
        """Send the command and wait for the verdict on it."""
        known = len(self.journal.by_command[identity["id"]]) if "id" in identity else 0
        command_id = await self.send(type_, key, data, **identity)
        return await self.verdict(command_id, known)

    async def verdict(self, command_id: str, nth: int = 0, timeout_s: float = DEADLINE_S) -> Event:
        """The verdict on the command; the `nth` (from 0) where it was sent more than once."""
        heard = self.journal.by_command[command_id]
        return await self.journal.until(
            lambda: heard[nth] if len(heard) > nth else None, f"verdict {nth + 1} on {command_id}", timeout_s
        )

    # --- orders -------------------------------------------------------------------------------------------------------

    async def start(self, lines: Lines, *, order_id: str | None = None, **data: Any) -> str:
        """An order that was accepted; returns its id."""
        key = order_id or self.new_id("order")
        verdict = await self.ask("orders.start-order.v1", key, order_data(lines, **data))
        assert verdict.short == "command-accepted", verdict.data
        return key

    async def held(self, lines: Lines, *, order_id: str | None = None, **data: Any) -> str:
        """An order whose stock is held and that waits for approval."""
        key = await self.start(lines, order_id=order_id, **data)
        await self.saw(key, "stock-reserved")
        return key

    async def approve(self, order_id: str, **identity: str) -> Event:
        """The verdict on an approval."""
        return await self.ask("orders.approve-payment.v1", order_id, {"approved_by": "e2e"}, **identity)

    async def cancel(self, order_id: str, **identity: str) -> Event:
        """The verdict on a cancellation."""
        return await self.ask("orders.cancel-order.v1", order_id, {"reason": "changed my mind"}, **identity)

    async def add_line(self, order_id: str, sku: str, quantity: int) -> Event:
        """The verdict on an added line."""
        return await self.ask("orders.add-line-item.v1", order_id, {"sku": sku, "quantity": quantity})

    async def buy(self, lines: Lines, *, order_id: str | None = None, **data: Any) -> Event:
        """Start, approve, and wait for the end."""
        key = await self.start(lines, order_id=order_id, **data)
        verdict = await self.approve(key)
        assert verdict.short == "command-accepted", verdict.data
        return await self.ended(key)

    async def saw(self, key: str, short: str, timeout_s: float = DEADLINE_S, *, topic: str = ORDERS_EVENTS) -> Event:
        """The first event of that kind about the order."""
        heard = self.journal.by_key[key]

        def found() -> Event | None:
            return next((e for e in heard if e.topic == topic and e.short == short), None)

        return await self.journal.until(found, f"{short} of {key}", timeout_s)

    async def ended(self, order_id: str, timeout_s: float = DEADLINE_S) -> Event:
        """The event that tells the order's end."""
        heard = self.journal.by_key[order_id]
        return await self.journal.until(
            lambda: next((event for event in heard if event.short in ENDS), None), f"the end of {order_id}", timeout_s
        )

    def kinds(self, key: str, topic: str = ORDERS_EVENTS) -> list[str]:
        """What was told under the key so far, in order; repeated deliveries once."""
        told = {event.id: event.short for event in self.journal.by_key[key] if event.topic == topic}
        return list(told.values())

    # --- the shop itself ----------------------------------------------------------------------------------------------

    async def shelf(self, quantity: int, price_minor: int = 250) -> str:
        """A new SKU of which so many are on hand."""
        sku = self.new_id("sku")
        await self.receive(sku, quantity, unit_price_minor=price_minor)
        return sku

    async def receive(self, sku: str, quantity: int, **more: Any) -> Event:
        """The answer to receive-stock."""
        identity = {name: more.pop(name) for name in ("id", "source") if name in more}
        return await self.ask("inventory.receive-stock.v1", sku, {"sku": sku, "quantity": quantity, **more}, **identity)

    async def customer(self) -> str:
        """A new customer with an address."""
        customer_id = self.new_id("customer")
        data = {"customer_id": customer_id, "name": "Ada Lovelace", "email": f"{customer_id}@example.com"}
        answer = await self.ask("customer.register-customer.v1", customer_id, data)
        assert answer.short == "customer-registered", answer.data
        return customer_id

    # --- queries ------------------------------------------------------------------------------------------------------

    async def get(self, service: str, path: str, **query: Any) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        async with self._http.get(f"{self.place.urls[service]}{path}", params=query) as response:
            return response.status, response.content_type, await response.read()

    async def read(self, service: str, path: str, **query: Any) -> Any:
        """The JSON of an answer that has to be there."""
        status, _, body = await self.get(service, path, **query)
        assert status == 200, f"{path}: {status} {body!r}"
        return json.loads(body)

    async def order(self, order_id: str) -> dict[str, Any]:
        """Get-status."""
        found: dict[str, Any] = await self.read("orders-api", f"/orders/{quote(order_id, safe='')}")
        return found

    async def history(self, order_id: str) -> list[dict[str, Any]]:
        """What happened to the order."""
        return await self._items("orders-api", f"/orders/{quote(order_id, safe='')}/history")

    async def stock(self, sku: str) -> dict[str, Any]:
        """The SKU's row of the catalogue."""
        found: dict[str, Any] = await self.read("inventory", f"/skus/{quote(sku, safe='')}")
        return found

    async def charges(self, order_id: str) -> list[dict[str, Any]]:
        """The order's charges, as the payment service has them."""
        return await self._items("payment", "/charges", order_id=order_id)

    async def entries(self, order_id: str) -> list[dict[str, Any]]:
        """The money that moved for the order, as the gateway has it."""
        return await self._items("payment", "/gateway/entries", order_id=order_id)

    async def everything(self, service: str, path: str, **query: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = await self.read(service, path, limit=500, **query, **after)
            found += page["items"]
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    async def _items(self, service: str, path: str, **query: Any) -> list[dict[str, Any]]:
        page = await self.read(service, path, **query)
        found: list[dict[str, Any]] = page["items"]
        return found

    def mails(self, about: str) -> list[EmailMessage]:
        """The mails in the sink whose subject names the order."""
        assert self.place.mails is not None, "this stack has no mail sink (MAIL_SINK_DIR)"
        found = (
            message_from_bytes(path.read_bytes(), policy=policy.default) for path in self.place.mails.glob("*.eml")
        )
        return [mail for mail in found if about in str(mail["Subject"]).split()]

    async def eventually(self, probe: Callable[[], Awaitable[T | None]], what: str, timeout_s: float = DEADLINE_S) -> T:
        """The first answer that is not None, of something that no event tells."""
        return await until(probe, what, timeout_s)

    async def stock_settles(self, sku: str, **expected: int) -> dict[str, Any]:
        """The SKU's row, as soon as it reads so (shipping follows the order's end, and no order waits for it)."""

        async def probe() -> dict[str, Any] | None:
            row = await self.stock(sku)
            return row if all(row[name] == value for name, value in expected.items()) else None

        return await self.eventually(probe, f"{sku} with {expected}, now {await self.stock(sku)}")


def order_data(lines: Lines, **more: Any) -> dict[str, Any]:
    """The data of a start-order."""
    pairs = lines.items() if isinstance(lines, Mapping) else lines
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in pairs]
    return {"customer_id": "somebody", "items": items, **more}


def envelope(type_: str, key: str, data: Any, id: str, source: str = SOURCE) -> dict[str, Any]:
    """The attributes that a command needs, and no more."""
    return {"specversion": "1.0", "id": id, "source": source, "type": type_, "subject": key, "data": data}
