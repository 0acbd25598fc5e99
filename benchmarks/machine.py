"""`python -m benchmarks machine`: how slow this machine is, and how much slower where a process does a little, and then waits.

A service at a low rate wakes for a message, decides, and sleeps. What it needs for that (code, data) has left the caches meanwhile,
and comes back from memory, piece by piece. How much that is says more about a machine than how fast it counts.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from simulation import System
from simulation.kit import words

_ADDITIONS: Final = 10_000_000
#: Pauses between two steps of the system in memory; 0: none.
_PAUSES_MS: Final = (0, 1, 5, 20)
#: An order on the topics of the whole system in memory takes some forty steps, so that the longest pauses take a second an order.
_LEAST: Final = 10


def additions(_: int) -> float:
    """Seconds of CPU for ten million additions."""
    began, total = time.process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.process_time() - began


def order_ms(orders: int, pause_s: float) -> tuple[float, float]:
    """Milliseconds and steps an order takes from its start to its end, through all services in memory. `pause_s` is waited before
    each step, and does not count."""
    system = System(seed=1, partitions=1, payment_failure_rate=0.0)
    system.command("ann", words.register_customer("ann"))
    system.command("tea", words.receive_stock("tea", 1_000_000, 250))
    system.run()
    taken, steps = 0.0, 0
    for number in range(orders):
        order = f"O-{number}"
        system.command(order, words.start_order())
        system.command(order, words.approve())
        while True:
            if pause_s:
                time.sleep(pause_s)
            began = time.perf_counter()
            moved = system.step()
            taken += time.perf_counter() - began
            if not moved:
                break
            steps += 1
    return taken / orders * 1000, steps / orders


def machine(
    orders: Annotated[int, typer.Option(help="Orders in memory, without pauses; with them a tenth.")] = 300,
) -> None:
    """How fast one core counts, alone and beside the other; what an order in memory takes in one go, and with pauses."""
    console = Console()
    alone = additions(0)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        both = list(pool.map(additions, range(2)))
    console.print(f"ten million additions: {alone:.2f} s alone; two at once {both[0]:.2f} and {both[1]:.2f} s")
    order_ms(_LEAST, 0)  # what is made once is not counted
    table = Table(title="An order through all services in memory, one step after the other")
    for name in ("pause before each step", "ms an order", "steps", "times"):
        table.add_column(name, justify="right")
    at_once = 0.0
    for pause_ms in _PAUSES_MS:
        ms, steps = order_ms(max(_LEAST, orders // 10) if pause_ms else orders, pause_ms / 1000)
        at_once = at_once or ms
        table.add_row(f"{pause_ms} ms", f"{ms:.2f}", f"{steps:.0f}", f"{ms / at_once:.1f}")
    console.print(table)
