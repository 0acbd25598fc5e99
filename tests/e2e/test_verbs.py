"""Every verb of the client against a real stack: with `--json` it prints JSON and nothing else, and ends with a documented code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from e2e.shop import Shop
from e2e.tools import Done, orderctl
from orderctl.main import app

BY = ("--operator", "m.brown", "--reason", "ticket 4711")
#: So many at a time: each is a process of its own.
AT_ONCE = 3


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb with its words, those of the groups too."""
    if not hasattr(command, "commands"):
        yield path
    for name, found in getattr(command, "commands", {}).items():
        yield from verbs(found, (*path, name))


def every_verb(shop: Shop, order: str, ended: str, sku: str, folder: Path) -> dict[tuple[str, ...], tuple[str, ...]]:
    """What each is given. `order` waits for its approval and is only looked at, or asked what would be; `ended` has ended, so that
    whatever is asked of it is refused."""
    letter, customer = "orders/orders.commands.v1/0/999999", shop.new_id("customer")
    bulk = ("--ids", str(folder / "ids"), *BY, "--dry-run")
    return {
        ("start",): (
            "--item",
            f"{sku}:1",
            "--customer",
            "somebody",
            "--order-id",
            shop.new_id("verb"),
            "--auto-approve",
        ),
        ("approve",): (order, "--dry-run"),
        ("cancel",): (order, "--dry-run"),
        ("add-item",): (order, f"{sku}:1", "--dry-run"),
        ("retry-now",): (ended, *BY),
        ("pause",): (ended, *BY),
        ("resume",): (ended, *BY),
        ("resolve-attention",): (ended, "--resolution", "retry", *BY),
        **{("bulk", verb): bulk for verb in ("cancel", "retry-now", "pause", "resume")},
        ("bulk", "resolve-attention"): ("--resolution", "retry", *bulk),
        ("status",): (order,),
        ("items",): (order,),
        ("history",): (order,),
        ("list",): ("--limit", "2"),
        ("doctor",): (order,),
        ("stuck",): ("--older-than", "1d"),
        ("services",): (),
        ("watch",): (ended,),
        ("receive-stock",): (sku, "1"),
        ("adjust-stock",): (sku, "-1", "--reason", "broken"),
        ("register-customer",): (customer, "--name", "Ada", "--email", "ada@example.com"),
        ("erase-customer",): (shop.new_id("nobody"), *BY),
        ("stock",): (sku,),
        ("charges",): (ended,),
        ("policies",): (),
        ("import",): ("--limit", "1"),
        ("load",): ("--orders", "2", "--max-open", "2"),
        ("audit",): ("--settle-timeout", "1"),
        ("dlq", "list"): ("--key", shop.new_id("nobody")),
        ("dlq", "show"): (letter,),
        ("dlq", "replay"): (letter, *BY),
        ("dlq", "discard"): (letter, *BY),
    }


#: Where the answer is not 0: what the documentation says of it. (The audit may find what other scenarios have left half done.)
REFUSED = {verb: {5} for verb in ("retry-now", "pause", "resume", "resolve-attention", "erase-customer")}
CODES = {**REFUSED, "bulk": {0, 5}, "audit": {0, 1}, "stuck": {0, 8}, "services": {0, 8}}
NOT_FOUND = {("dlq", "show"), ("dlq", "replay"), ("dlq", "discard")}


async def test_every_verb_speaks_json_and_ends_with_a_documented_exit_code(shop: Shop, tmp_path: Path) -> None:
    sku = await shop.shelf(20)
    order, ended = await shop.held({sku: 1}), (await shop.buy({sku: 1})).key
    (tmp_path / "ids").write_text(f"{order}\n")
    given = every_verb(shop, order, ended, sku, tmp_path)
    assert set(given) == set(verbs(get_command(app))), "a verb that is new belongs into the table"
    turn = asyncio.Semaphore(AT_ONCE)

    async def say(verb: tuple[str, ...]) -> Done:
        async with turn:
            return await orderctl(shop.place, *verb, *given[verb], "--json", timeout_s=300)

    done = dict(zip(given, await asyncio.gather(*map(say, given)), strict=True))
    wrong = [
        f"{' '.join(verb)}: {told.returncode} {told.output[-500:]}"
        for verb, told in done.items()
        if not _right(verb, told)
    ]
    assert not wrong, "\n".join(wrong)
    await shop.cancel(order)


def _right(verb: tuple[str, ...], told: Done) -> bool:
    if verb in NOT_FOUND:
        return told.returncode == 7 and not told.stdout and bool(told.stderr)
    try:
        found = [json.loads(line) for line in told.stdout.splitlines()]
    except ValueError:
        return False
    return bool(found) and told.returncode in CODES.get(verb[0], {0})
