"""What operators ask of an order, or of many: `retry-now`, `pause`, `resume`, `resolve-attention`, and a `cancel` of their own.
Each names the operator and the reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from contracts.orders import CancelByOperator, PauseOrder, ResolveAttention, ResumeOrder, RetryNow
from orderctl.cli import OperatorOption

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the history.")]


class Resolution(StrEnum):
    """What to do about an order that needs a person."""

    RETRY = "retry"
    SETTLED = "settled"


def cancel(operator: OperatorOption, reason: ReasonOption) -> CancelByOperator:
    """End orders and give back what they took."""
    return CancelByOperator(operator=operator, reason=reason)


def retry_now(operator: OperatorOption, reason: ReasonOption) -> RetryNow:
    """Skip the wait before the next attempt of what failed."""
    return RetryNow(operator=operator, reason=reason)


def pause(operator: OperatorOption, reason: ReasonOption) -> PauseOrder:
    """Start nothing new; deadlines stand still until `resume`."""
    return PauseOrder(operator=operator, reason=reason)


def resume(operator: OperatorOption, reason: ReasonOption) -> ResumeOrder:
    """Go on with what is paused."""
    return ResumeOrder(operator=operator, reason=reason)


def resolve_attention(
    resolution: Annotated[Resolution, typer.Option(help="Try again now, or it was settled by hand.")],
    operator: OperatorOption,
    reason: ReasonOption,
    evidence: Annotated[
        str | None, typer.Option(help="What proves it, as the bank's reference; it stands in the history.")
    ] = None,
) -> ResolveAttention:
    """Deal with what needs a person; with `settled` the reason says how it was done."""
    given = {} if evidence is None else {"evidence": evidence}
    return ResolveAttention(operator=operator, reason=reason, resolution=resolution.value, **given)
