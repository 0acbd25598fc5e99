"""For those who run the shop: `receive-stock`, `adjust-stock`, `register-customer`, `erase-customer`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.customer import EraseCustomer, RegisterCustomer
from contracts.inventory import AdjustStock, ReceiveStock
from contracts.topics import CUSTOMER_EVENTS, INVENTORY_EVENTS
from orderctl import cli
from orderctl.command import new_command
from orderctl.commands.asking import ask_and_tell

SkuArgument = Annotated[str, typer.Argument(metavar="SKU", help="The SKU.")]


def receive_stock(
    context: typer.Context,
    sku: SkuArgument,
    quantity: Annotated[int, typer.Argument(help="Pieces that came in.")],
    price_minor: Annotated[
        int | None, typer.Option("--price-minor", help="Sets the price, in minor units. A new SKU needs one.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Sets the price's currency.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is.")] = None,
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Book stock that came in; with a price it sets the catalogue's."""
    command = new_command(
        sku,
        lambda: ReceiveStock(
            sku=sku, quantity=quantity, unit_price_minor=price_minor, currency=currency, description=description
        ),
        command_id,
    )
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, INVENTORY_EVENTS, not no_wait, timeout, json))


def adjust_stock(
    context: typer.Context,
    sku: SkuArgument,
    delta: Annotated[int, typer.Argument(help="Pieces more, or fewer (-3).")],
    reason: Annotated[str, typer.Option(help="Why.")],
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Correct the count of a SKU, never below what is held."""
    command = new_command(sku, lambda: AdjustStock(sku=sku, delta=delta, reason=reason), command_id)
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, INVENTORY_EVENTS, not no_wait, timeout, json))


def register_customer(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER_ID", envvar="USER_ID", help="The customer.")],
    name: Annotated[str, typer.Option(help="The name.")],
    email: Annotated[str, typer.Option(help="Where mails go.")],
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Register a customer, or replace name and address of one that is known."""
    command = new_command(
        customer_id, lambda: RegisterCustomer(customer_id=customer_id, name=name, email=email), command_id
    )
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, CUSTOMER_EVENTS, not no_wait, timeout, json))


def erase_customer(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER_ID", help="The customer.")],
    operator: cli.OperatorOption,
    reason: Annotated[str, typer.Option(help="Why. It is kept for ever: no place for personal data.")],
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    """Erase a customer's name and address, for good. Orders and what was counted stay; what the topics keep does too
    (docs/operations.md)."""
    command = new_command(
        customer_id, lambda: EraseCustomer(customer_id=customer_id, operator=operator, reason=reason), command_id
    )
    settings = cli.settings_of(context)
    cli.run(lambda: ask_and_tell(settings, command, CUSTOMER_EVENTS, not no_wait, timeout, json))
