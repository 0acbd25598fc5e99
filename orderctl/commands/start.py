"""`start`: send start-order, and follow the order to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from contracts.orders import ApprovePayment, StartGreet, StartOrder
from orderctl import cli
from orderctl.client import Client, Subscription, connect
from orderctl.command import Command, new_command
from orderctl.commands.watch import Shown, show_until_end
from orderctl.errors import UsageError
from orderctl.events import Event
from orderctl.exits import Exit
from orderctl.following import past_events
from orderctl.http import Apis
from orderctl.settings import Settings

AUTO_APPROVE_AFTER_S: Final = 2.0
APPROVER: Final = "orderctl"
#: How much longer than its approval an order may take, where no --timeout is given.
_SLACK_S: Final = 300.0
_DEFAULT_APPROVAL_TIMEOUT_S: Final = 900


@dataclass(frozen=True, slots=True)
class Options:
    """How to go on after the command was sent."""

    asynchronous: bool
    auto_approve: bool
    task_queue: str
    follow_timeout_s: float
    json: bool


def start(  # one parameter for each flag
    context: typer.Context,
    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="SKU:QTY", envvar="ORDER_ITEMS", help="A line; repeatable.")
    ] = None,
    order_id: Annotated[
        str | None, typer.Option("--order-id", envvar="ORDER_ID", help="Default: ORDER-<timestamp>.")
    ] = None,
    workflow: Annotated[str, typer.Option("--workflow", envvar="WORKFLOW_TYPE", help="The workflow.")] = "order",
    customer: Annotated[
        str, typer.Option("--customer", "--user-id", envvar="USER_ID", help="The customer's id.")
    ] = "user-123",
    asynchronous: Annotated[
        bool, typer.Option("--async/--no-async", envvar="ASYNC", help="Return after the verdict; do not follow.")
    ] = False,
    auto_approve: Annotated[
        bool, typer.Option("--auto-approve/--no-auto-approve", envvar="AUTO_APPROVE", help="Approve after 2 s.")
    ] = False,
    task_queue: Annotated[
        str,
        typer.Option("--task-queue", envvar="ORDER_TASK_QUEUE", help="Told with the order; names the workers' groups."),
    ] = "order-task-queue",
    currency: Annotated[str | None, typer.Option(help="ISO 4217. Default: the catalogue's.")] = None,
    approval_timeout: Annotated[int | None, typer.Option(help="Seconds to wait for approval. Default: 900.")] = None,
    payment_method: Annotated[str | None, typer.Option(help="Default: pm_card_visa.")] = None,
    workflow_version: Annotated[int | None, typer.Option(help="Default: the newest.")] = None,
    command_id: cli.CommandIdOption = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Seconds to follow. Default: approval timeout + 300.")
    ] = None,
    json: cli.JsonFlag = False,
) -> None:
    """Start an order and follow it to its end; the exit code says how it ended (0 completed, 3 cancelled, 4 failed)."""
    settings = cli.settings_of(context)
    follow_s = timeout or (approval_timeout or _DEFAULT_APPROVAL_TIMEOUT_S) + _SLACK_S
    options = Options(asynchronous, auto_approve, task_queue, follow_s, json)
    if workflow == "greet":
        greeting = new_command(order_id or default_order_id(), lambda: StartGreet(user_id=customer), command_id)
        plain = replace(options, auto_approve=False)
        cli.run(lambda: start_order(settings, greeting, plain))
    if workflow != "order":
        raise UsageError(f"There is no workflow {workflow!r}; WORKFLOW_TYPE is order or greet.")
    if not item:
        raise UsageError("An order needs a line: give --item SKU:QUANTITY, once or more often.")
    lines = tuple(cli.parse_item(text) for text in item)
    given: dict[str, Any] = {
        "currency": currency,
        "approval_timeout_s": approval_timeout,
        "payment_method": payment_method,
        "workflow_version": workflow_version,
    }
    data = {name: value for name, value in given.items() if value is not None}
    data |= {"customer_id": customer, "items": tuple(line.model_dump() for line in lines)}
    command = new_command(order_id or default_order_id(), lambda: StartOrder.model_validate(data), command_id)
    cli.run(lambda: start_order(settings, command, options))


def default_order_id() -> str:
    """`ORDER-<timestamp>`, with milliseconds so that two starts in one second are two orders."""
    return f"ORDER-{datetime.now(UTC).strftime('%Y%m%d%H%M%S%f')[:-3]}"


async def start_order(settings: Settings, command: Command, options: Options) -> Exit:
    """Send the command, tell its verdict, and see the order through unless it was asked for asynchronously."""
    shown = Shown(options.json)
    async with connect(cli.transport_for(settings)) as client:
        # Before the command is sent, so that nothing of the order is missed.
        tail = client.follow(command.key)
        if not options.asynchronous:
            shown.sent(command, options.task_queue)
        verdict = await client.ask(command, min(cli.VERDICT_TIMEOUT_S, options.follow_timeout_s))
        if not verdict.accepted or options.asynchronous:
            shown.verdict(verdict)
        if not verdict.accepted:
            return Exit.REJECTED
        if options.asynchronous:
            if options.auto_approve:
                await _approve_soon(client, command)
            return Exit.OK
        # An order that was there before has a past that this client did not hear.
        past = await _past(settings, command.key) if verdict.duplicate else ()
        async with _approving(client, command, tail, options.auto_approve):
            return await show_until_end(command.key, past, tail, options.follow_timeout_s, shown)


async def _past(settings: Settings, order_id: str) -> Sequence[Event]:
    async with Apis(settings) as apis:
        return past_events(order_id, await apis.history(order_id))


async def _approve_soon(client: Client, started: Command) -> None:
    await asyncio.sleep(AUTO_APPROVE_AFTER_S)
    # The id follows from the start's, so that the same start sent again approves the same way.
    approval_id = f"{started.id[:56]}-approve"
    await client.send(Command(approval_id, started.key, ApprovePayment(approved_by=APPROVER)))


@asynccontextmanager
async def _approving(client: Client, started: Command, tail: Subscription, wanted: bool) -> AsyncIterator[None]:
    """Approve in the background, if wanted. Where that fails, whoever follows the order is told."""
    if not wanted:
        yield
        return
    task = asyncio.create_task(_approve_soon(client, started))

    def tell(done: asyncio.Task[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            tail.put(error)

    task.add_done_callback(tell)
    try:
        yield
    finally:
        task.cancel()
