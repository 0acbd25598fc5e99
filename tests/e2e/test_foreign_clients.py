"""Programs that know nothing of us start and approve orders: kcat with librdkafka's partitioner, the Java console producer."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from aiokafka.partitioner import murmur2

from e2e.shop import Shop, envelope, order_data
from e2e.tools import NoConsoleProducerError, console_producer, kcat, run

TOPIC = "orders.commands.v1"


@dataclass(frozen=True, slots=True)
class Line:
    """A record as one types it: a key, headers, and one line of text."""

    key: str
    value: str
    headers: tuple[str, ...]


def _structured(type_: str, key: str, data: object, id: str) -> Line:
    return Line(
        key, json.dumps(envelope(type_, key, data, id, "foreign")), ("content-type:application/cloudevents+json",)
    )


def _bare(type_: str, key: str, data: object, id: str) -> Line:
    return replace(_structured(type_, key, data, id), headers=())


def _binary(type_: str, key: str, data: object, id: str) -> Line:
    attributes = {name: value for name, value in envelope(type_, key, None, id, "foreign").items() if name != "data"}
    return Line(key, json.dumps(data), tuple(f"ce_{name}:{value}" for name, value in attributes.items()))


def _binary_with_content_type(type_: str, key: str, data: object, id: str) -> Line:
    line = _binary(type_, key, data, id)
    return replace(line, headers=("content-type:application/json", *line.headers))


Send = Callable[[Shop, Sequence[Line]], Awaitable[None]]
MODES = (_structured, _bare, _binary, _binary_with_content_type)


async def with_kcat(shop: Shop, lines: Sequence[Line]) -> None:
    program = kcat()
    assert program is not None
    for line in lines:
        argv = [program, "-b", shop.place.bootstrap, "-t", TOPIC, "-P", "-K", "\t"]
        # `=` parts a header's name from its value here; the first one counts.
        argv += [part for header in line.headers for part in ("-H", header.replace(":", "=", 1))]
        done = await run(argv, stdin=f"{line.key}\t{line.value}\n")
        assert done.returncode == 0, done.output


async def with_console_producer(shop: Shop, lines: Sequence[Line]) -> None:
    program = console_producer()
    argv = [*program, "--bootstrap-server", shop.place.bootstrap, "--topic", TOPIC]
    for name, value in {"parse.key": "true", "parse.headers": "true", "null.marker": "-"}.items():
        argv += ["--reader-property", f"{name}={value}"]
    text = "".join(f"{','.join(line.headers) or '-'}\t{line.key}\t{line.value}\n" for line in lines)
    done = await run(argv, stdin=text)
    assert done.returncode == 0, done.output
    assert "ERROR" not in done.output, done.output


async def _start_and_approve(shop: Shop, send: Send, order_ids: Sequence[str]) -> None:
    """One order for each mode, started and approved in that mode."""
    sku = await shop.shelf(100)
    starts = {one: shop.new_id("start") for one in order_ids}
    approvals = {one: shop.new_id("approve") for one in order_ids}
    modes = {one: MODES[number % len(MODES)] for number, one in enumerate(order_ids)}
    await send(shop, [modes[one]("orders.start-order.v1", one, order_data({sku: 1}), starts[one]) for one in order_ids])
    for one in order_ids:
        assert (await shop.verdict(starts[one])).short == "command-accepted"
    data = {"approved_by": "a foreigner"}
    await send(shop, [modes[one]("orders.approve-payment.v1", one, data, approvals[one]) for one in order_ids])
    for one in order_ids:
        assert (await shop.verdict(approvals[one])).short == "command-accepted"
        assert (await shop.ended(one)).short == "order-completed"
        assert shop.kinds(one).count("order-started") == 1


@pytest.mark.skipif(kcat() is None, reason="kcat is not installed (Debian: apt-get install kcat)")
async def test_kcat_starts_and_approves_orders_in_every_mode_on_whatever_partition_it_picks(shop: Shop) -> None:
    order_ids = [_misplaced(shop) for _ in MODES]
    await _start_and_approve(shop, with_kcat, order_ids)
    for one in order_ids:
        partitions = {event.partition for event in shop.journal.by_key[one]}
        assert partitions == {_java_partition(one, shop.place.partitions)}


async def test_the_java_console_producer_starts_and_approves_orders_in_every_mode(shop: Shop) -> None:
    try:
        await asyncio.to_thread(console_producer)
    except NoConsoleProducerError as error:
        pytest.skip(str(error))
    await _start_and_approve(shop, with_console_producer, [shop.new_id("java") for _ in MODES])


def _java_partition(key: str, partitions: int) -> int:
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions


def _misplaced(shop: Shop) -> str:
    """A key that librdkafka (CRC-32) puts on another partition than Java's clients do."""
    while True:
        key, partitions = shop.new_id("kcat"), shop.place.partitions
        if zlib.crc32(key.encode()) % partitions != _java_partition(key, partitions) or partitions == 1:
            return key
