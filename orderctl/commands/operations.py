"""What operators ask of one order: `retry-now`, `pause`, `resume`, `resolve-attention`. Each names the operator and the reason."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal

import typer

from contracts.orders import PauseOrder, ResolveAttention, ResumeOrder, RetryNow
from contracts.topics import ORDERS_EVENTS
from contracts.values import CommandData
from orderctl import cli
from orderctl.command import new_command
from orderctl.commands.asking import ask_and_tell

OperatorOption = Annotated[
    str, typer.Option("--operator", envvar="OPERATOR", default_factory=getpass.getuser, help="Who asks.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the history.")]


class Resolution(StrEnum):
    """What to do about an order that needs a person."""

    RETRY = "retry"
    SETTLED = "settled"


def retry_now(
    context: typer.Context,
    order_id: cli.OrderArgument,
    operator: OperatorOption,
    reason: ReasonOption,
    command_id: cli.CommandIdOption = None,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Skip the wait before the next attempt of what failed."""
    _ask(context, order_id, lambda: RetryNow(operator=operator, reason=reason), command_id, timeout, json)


def pause(
    context: typer.Context,
    order_id: cli.OrderArgument,
    operator: OperatorOption,
    reason: ReasonOption,
    command_id: cli.CommandIdOption = None,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Start nothing new for an order; its deadlines stand still until `resume`."""
    _ask(context, order_id, lambda: PauseOrder(operator=operator, reason=reason), command_id, timeout, json)


def resume(
    context: typer.Context,
    order_id: cli.OrderArgument,
    operator: OperatorOption,
    reason: ReasonOption,
    command_id: cli.CommandIdOption = None,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Go on with a paused order."""
    _ask(context, order_id, lambda: ResumeOrder(operator=operator, reason=reason), command_id, timeout, json)


def resolve_attention(
    context: typer.Context,
    order_id: cli.OrderArgument,
    resolution: Annotated[Resolution, typer.Option(help="Try again now, or it was settled by hand.")],
    operator: OperatorOption,
    reason: ReasonOption,
    command_id: cli.CommandIdOption = None,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Deal with an order that needs a person; with `settled` the reason says how it was done."""
    value: Literal["retry", "settled"] = "retry" if resolution is Resolution.RETRY else "settled"
    _ask(
        context,
        order_id,
        lambda: ResolveAttention(operator=operator, reason=reason, resolution=value),
        command_id,
        timeout,
        json,
    )


def _ask(
    context: typer.Context,
    order_id: str,
    build: Callable[[], CommandData],
    command_id: str | None,
    timeout: float,
    json: bool,
) -> None:
    settings = cli.settings_of(context)
    command = new_command(order_id, build, command_id)
    cli.run(lambda: ask_and_tell(settings, command, ORDERS_EVENTS, True, timeout, json))
