"""Records of clients that work otherwise than ours: they may be compressed with any codec, and grow when they are unpacked."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from tally_world import HOME, Process, Sender, Totals, World

from contracts.inventory import AdjustStock
from contracts.topics import INVENTORY_COMMANDS


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (Debian: apt-get install kcat)")
@pytest.mark.parametrize("world", ["postgres"], indirect=True)
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_command_that_librdkafka_compressed_is_read(world: World, kafka: str, codec: str) -> None:
    process, sender = Process(world, HOME), Sender(world)
    await process.take_over()
    _, _, value, _ = sender.message("a", AdjustStock(sku="A", delta=3, reason="add " * 200))
    line = b"a|" + value + b"\n"
    arguments = ["-P", "-b", kafka, "-t", INVENTORY_COMMANDS, "-p", str(HOME), "-K", "|", "-z", codec]
    kcat = await asyncio.create_subprocess_exec("kcat", *arguments, stdin=asyncio.subprocess.PIPE)
    await asyncio.wait_for(kcat.communicate(line), 20)
    assert kcat.returncode == 0
    assert await process.work() == 1
    assert await Totals(world)() == {"a": 3}


async def test_what_only_fits_compressed_is_refused_at_its_senders(kafka: str) -> None:
    sender = AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        enable_idempotence=True,
        compression_type="gzip",
        max_request_size=10_000_000,
    )
    await sender.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await sender.send_and_wait(INVENTORY_COMMANDS, b"0" * 5_000_000, partition=HOME)
    finally:
        await sender.stop()
