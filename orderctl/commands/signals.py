"""What a person may say to a running order: `approve`, `cancel`, `add-item`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.orders import AddLineItem, ApprovePayment, CancelByOperator, CancelOrder
from orderctl import cli


def approve(approved_by: Annotated[str, typer.Option("--by", help="Who approves.")] = "orderctl") -> ApprovePayment:
    """Let an order's payment be taken, and print the verdict."""
    return ApprovePayment(approved_by=approved_by)


def cancel(
    reason: Annotated[str, typer.Option(help="Why.")] = "customer request",
    operator: Annotated[
        str | None,
        typer.Option("--operator", help="Cancel as this operator, on the operators' topic; it stands in the history."),
    ] = None,
) -> CancelOrder | CancelByOperator:
    """End an order and give back what it took; print the verdict."""
    return CancelOrder(reason=reason) if operator is None else CancelByOperator(operator=operator, reason=reason)


def add_item(item: Annotated[str, typer.Argument(metavar="SKU:QTY", help="The line to add.")]) -> AddLineItem:
    """Add a line to an order that is not approved yet; the verdict comes when the extra stock is held."""
    line = cli.parse_item(item)
    return AddLineItem(sku=line.sku, quantity=line.quantity)
