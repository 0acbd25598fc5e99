"""`watch`: all orders as a live table, or one order to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.live import Live
from rich.table import Table

from orderctl import cli, render
from orderctl.client import Subscription, connect
from orderctl.command import Command
from orderctl.errors import ApiUnreachableError
from orderctl.events import Event, Verdict
from orderctl.exits import Exit
from orderctl.following import Outcome, order_events, outcome_of, past_events
from orderctl.http import Apis
from orderctl.settings import Settings

_FOR_EVER_S: Final = 10.0 * 365 * 86_400


class Shown:
    """What has been told to the person or program that looks on: text, or JSON lines."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._out = render.out()

    def sent(self, command: Command, task_queue: str) -> None:
        """A command is on its way."""
        if self._json:
            render.print_json(
                {"kind": "sent", "order_id": command.key, "command_id": command.id, "task_queue": task_queue}
            )
        else:
            self._out.print(f"Order {render.escape(command.key)} (command {command.id}, task queue {task_queue})")

    def event(self, event: Event) -> None:
        """An event came."""
        if self._json:
            render.print_json(event.as_json())
        else:
            self._out.print(render.event_line(event))

    def verdict(self, verdict: Verdict) -> None:
        """The verdict, where nothing else is told."""
        if self._json:
            render.print_json(render.verdict_json(verdict))
        else:
            self._out.print(f"Order {render.escape(verdict.key)}: {render.verdict_line(verdict)}")

    def outcome(self, outcome: Outcome) -> None:
        """The order ended."""
        if self._json:
            render.print_json(render.outcome_json(outcome))
        else:
            self._out.print(render.outcome_line(outcome))


async def show_until_end(
    order_id: str, past: Sequence[Event], tail: Subscription, timeout_s: float, shown: Shown
) -> Exit:
    """Show the order's past and what comes, to its end. Raises `NoEndError`."""
    async for event in order_events(order_id, past, tail, timeout_s):
        shown.event(event)
        outcome = outcome_of(order_id, event)
        if outcome is not None:
            shown.outcome(outcome)
            return outcome.exit_code
    raise RuntimeError("unreachable: the events end with an outcome or an error")


def watch(
    context: typer.Context,
    order_id: Annotated[str | None, typer.Argument(metavar="[ORDER_ID]", help="One order; without it, all.")] = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="Stop after so many seconds.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=500, help="How many orders the table holds.")] = 20,
    json: cli.JsonFlag = False,
) -> None:
    """Watch all orders in a live table, or one order to its end (also one that began earlier)."""
    settings = cli.settings_of(context)
    if order_id is not None:
        wanted = order_id
        cli.run(lambda: _watch_one(settings, wanted, seconds or _FOR_EVER_S, Shown(json)))
    cli.run(lambda: _watch_all(settings, seconds, rows, json))


async def _watch_one(settings: Settings, order_id: str, timeout_s: float, shown: Shown) -> Exit:
    async with connect(cli.transport_for(settings)) as client, Apis(settings) as apis:
        tail = client.follow(order_id)
        past = past_events(order_id, await apis.history(order_id))
        return await show_until_end(order_id, past, tail, timeout_s, shown)


@dataclass(slots=True)
class _Row:
    status: str
    last: str
    at: str | None
    about: str


class Board:
    """The newest orders and what is known of each; the one heard of last stands on top."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: dict[str, _Row] = {}
        self.events = 0

    def seed(self, orders: Sequence[dict[str, Any]]) -> None:
        """Begin with what the query API knows, newest first."""
        for order in reversed(orders):
            waiting = f"waiting for {order['waiting_for']}" if order.get("waiting_for") else order.get("reason") or ""
            self._rows[order["order_id"]] = _Row(str(order["status"]), "", order.get("updated_at"), waiting)

    def hear(self, event: Event) -> None:
        """Take an event in."""
        self.events += 1
        before = self._rows.pop(event.key, None)
        status = event.outcome.upper() if event.outcome else (before.status if before else "")
        self._rows[event.key] = _Row(status, event.name, event.at, render.facts(event.data))
        while len(self._rows) > self._size:
            del self._rows[next(iter(self._rows))]

    def table(self) -> Table:
        """What is shown."""
        rows = [
            (
                render.escape(key),
                render.coloured(row.status),
                row.last,
                render.clock(row.at),
                render.escape(row.about[:80]),
            )
            for key, row in reversed(self._rows.items())
        ]
        return render.table(("order", "status", "last event", "at", ""), rows)


async def _watch_all(settings: Settings, seconds: float | None, rows: int, json: bool) -> Exit:
    async with connect(cli.transport_for(settings)) as client:
        tail = client.follow()
        try:
            async with asyncio.timeout(seconds):
                if json:
                    async for event in tail:
                        render.print_json(event.as_json())
                else:
                    await _live(settings, tail, rows)
        except TimeoutError:
            return Exit.OK
    return Exit.OK


async def _live(settings: Settings, tail: Subscription, rows: int) -> None:
    board = Board(rows)
    try:
        async with Apis(settings) as apis:
            page = await apis.orders.get("/orders", {"limit": str(rows)})
            board.seed(page["items"])
    except ApiUnreachableError as error:
        # The table fills from the events; only what was there before is missing.
        render.err().print(f"{render.escape(str(error))} Showing new events only.")
    with Live(board.table(), console=render.out(), refresh_per_second=5) as live:
        async for event in tail:
            board.hear(event)
            live.update(board.table())
