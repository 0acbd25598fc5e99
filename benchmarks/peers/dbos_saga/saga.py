"""The order as a durable workflow of DBOS Transact, and its load generator, in one process: `python saga.py` of `.venv-dbos`.

It takes a line of JSON on a TCP connection (`orders`, `rate_per_s`, `max_open`, `run_id`), runs the orders and answers with
a line of JSON: how many completed, in how many seconds, and the latency of each from the moment at which it was meant to start.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from typing import Any

import asyncpg
import uvloop
from dbos import DBOS, DBOSConfig, SetWorkflowID

SKUS, CUSTOMERS, PRICE_MINOR, STOCK = 50, 10, 1_000, 10_000_000
APPROVAL = "approval"
SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (sku text PRIMARY KEY, on_hand bigint CHECK (on_hand >= 0), held bigint NOT NULL DEFAULT 0)
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS reservation (order_id text PRIMARY KEY, sku text NOT NULL, quantity bigint NOT NULL);
CREATE TABLE IF NOT EXISTS gateway_entry (order_id text PRIMARY KEY, amount_minor bigint NOT NULL);
CREATE TABLE IF NOT EXISTS orders (order_id text PRIMARY KEY, status text NOT NULL, total_minor bigint NOT NULL);
CREATE TABLE IF NOT EXISTS customer (customer_id text PRIMARY KEY, tier text NOT NULL);
CREATE TABLE IF NOT EXISTS also_bought (sku text PRIMARY KEY, other text NOT NULL);
"""
# A step may run again after a crash: both parts or none, and never twice.
RESERVE = """
WITH fresh AS (INSERT INTO reservation (order_id, sku, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING sku, quantity)
UPDATE stock SET on_hand = on_hand - fresh.quantity, held = held + fresh.quantity FROM fresh WHERE stock.sku = fresh.sku
"""

pool: asyncpg.Pool


@DBOS.step()
async def look_up(customer_id: str) -> str | None:
    """The customer's tier."""
    return await pool.fetchval("SELECT tier FROM customer WHERE customer_id = $1", customer_id)


@DBOS.step()
async def check(sku: str) -> int | None:
    """What is there."""
    return await pool.fetchval("SELECT on_hand FROM stock WHERE sku = $1", sku)


@DBOS.step()
async def recommend(sku: str) -> list[str]:
    """What is bought together."""
    return [row["other"] for row in await pool.fetch("SELECT other FROM also_bought WHERE sku = $1", sku)]


@DBOS.step()
async def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Hold it; the price."""
    await pool.execute(RESERVE, order_id, sku, quantity)
    return PRICE_MINOR


@DBOS.step()
async def charge(order_id: str, amount_minor: int) -> str:
    """The gateway's ledger, by charge id."""
    await pool.execute("INSERT INTO gateway_entry VALUES ($1, $2) ON CONFLICT DO NOTHING", order_id, amount_minor)
    return f"{order_id}-c"


@DBOS.step()
async def complete(order_id: str, total_minor: int) -> None:
    """The order's own row, for its queries."""
    await pool.execute("INSERT INTO orders VALUES ($1, 'COMPLETED', $2) ON CONFLICT DO NOTHING", order_id, total_minor)


@DBOS.step()
async def notify(order_id: str) -> str:
    """The mail, which costs nothing here."""
    return f"mail-{order_id}"


@DBOS.workflow()
async def order(order_id: str, customer_id: str, sku: str, quantity: int) -> str:
    """The workflow."""
    await asyncio.gather(look_up(customer_id), check(sku), recommend(sku))
    price = await reserve(order_id, sku, quantity)
    if await DBOS.recv_async(APPROVAL, timeout_seconds=900) is None:
        return "CANCELLED"
    await charge(order_id, price * quantity)
    await complete(order_id, price * quantity)
    await notify(order_id)
    return "COMPLETED"


async def one(order_id: str, number: int, intended_at: float, latencies: list[float]) -> None:
    """Start an order, approve it at once, await its end."""
    with SetWorkflowID(order_id):
        handle = await DBOS.start_workflow_async(order, order_id, f"C-{number % CUSTOMERS}", f"S-{number % SKUS}", 1)
    await DBOS.send_async(order_id, "load", APPROVAL)
    if await handle.get_result() == "COMPLETED":
        latencies.append(time.monotonic() - intended_at)


async def drive(plan: dict[str, Any]) -> dict[str, Any]:
    """All orders of a run."""
    latencies: list[float] = []
    room = asyncio.Semaphore(plan["max_open"])
    arrivals = random.Random(1)  # noqa: S311 - not for secrets
    began = time.monotonic()
    due_s = 0.0
    async with asyncio.TaskGroup() as group:
        for number in range(plan["orders"]):
            if plan["rate_per_s"]:
                due_s += arrivals.expovariate(plan["rate_per_s"])
                await asyncio.sleep(max(0.0, began + due_s - time.monotonic()))
                intended_at = began + due_s
            else:
                await room.acquire()
                intended_at = time.monotonic()
            task = group.create_task(one(f"{plan['run_id']}-{number:06d}", number, intended_at, latencies))
            if not plan["rate_per_s"]:
                task.add_done_callback(lambda _: room.release())
    elapsed_s = time.monotonic() - began
    held = await pool.fetchval("SELECT sum(held) FROM stock")
    paid = await pool.fetchval(
        "SELECT count(*) FROM gateway_entry JOIN orders USING (order_id) WHERE amount_minor = total_minor"
    )
    return {"elapsed_s": elapsed_s, "sending_s": due_s, "latencies_s": latencies, "held": int(held), "paid": paid}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, one run; a connection that says nothing only looks whether somebody is there."""
    if line := await reader.readline():
        writer.write(json.dumps(await drive(json.loads(line))).encode() + b"\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    """Until SIGTERM."""
    global pool  # noqa: PLW0603 - a workflow's steps are module functions, and so is what they share
    dsn = os.environ["DBOS_DSN"]
    pool = await asyncpg.create_pool(dsn, min_size=10, max_size=20, command_timeout=30)
    await pool.execute(SCHEMA)
    await pool.executemany(
        "INSERT INTO stock VALUES ($1, $2) ON CONFLICT DO NOTHING", [(f"S-{n}", STOCK) for n in range(SKUS)]
    )
    await pool.executemany(
        "INSERT INTO customer VALUES ($1, 'standard') ON CONFLICT DO NOTHING", [(f"C-{n}",) for n in range(CUSTOMERS)]
    )
    config: DBOSConfig = {
        "name": "saga",
        "system_database_url": dsn.replace("postgresql://", "postgresql+psycopg://"),
        "sys_db_pool_size": int(os.environ["DBOS_POOL"]),
        "log_level": "WARNING",
        "enable_otlp": False,
    }
    DBOS(config=config)
    DBOS.launch()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(answer, "127.0.0.1", int(os.environ["READY_PORT"]), limit=2**20)
    await stopped.wait()
    server.close()
    await asyncio.to_thread(DBOS.destroy)
    await pool.close()


if __name__ == "__main__":
    uvloop.run(main())
