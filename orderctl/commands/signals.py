"""What a person may say to a running order: `approve`, `cancel`, `add-item`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.orders import AddLineItem, ApprovePayment, CancelOrder
from contracts.topics import ORDERS_EVENTS
from orderctl import cli
from orderctl.command import new_command
from orderctl.commands.asking import ask_and_tell


def approve(
    context: typer.Context,
    order_id: cli.OrderArgument,
    approved_by: Annotated[str, typer.Option("--by", help="Who approves.")] = "orderctl",
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Let an order's payment be taken, and print the verdict."""
    command = new_command(order_id, lambda: ApprovePayment(approved_by=approved_by), command_id)
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, ORDERS_EVENTS, not no_wait, timeout, json))


def cancel(
    context: typer.Context,
    order_id: cli.OrderArgument,
    reason: Annotated[str, typer.Option(help="Why.")] = "customer request",
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """End an order and give back what it took; print the verdict."""
    command = new_command(order_id, lambda: CancelOrder(reason=reason), command_id)
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, ORDERS_EVENTS, not no_wait, timeout, json))


def add_item(
    context: typer.Context,
    order_id: cli.OrderArgument,
    item: Annotated[str, typer.Argument(metavar="SKU:QTY", help="The line to add.")],
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Add a line to an order that is not approved yet; the verdict comes when the extra stock is held."""
    line = cli.parse_item(item)
    command = new_command(order_id, lambda: AddLineItem(sku=line.sku, quantity=line.quantity), command_id)
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, ORDERS_EVENTS, not no_wait, timeout, json))
