"""`orderctl`: the root command, and which verbs there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from messaging.errors import SettingsError
from orderctl import cli, render, settings
from orderctl.commands import (
    audit,
    bulk,
    dlq,
    doctor,
    history,
    import_,
    load,
    operations,
    policies,
    queries,
    services,
    shop,
    signals,
    start,
    stock,
    watch,
)
from orderctl.commands.verbs import order_verb
from orderctl.errors import OrderctlError
from orderctl.exits import IN_WORDS, Exit


def _address(name: str, default: str, meaning: str) -> Any:
    # The environment is read, and refused, in one place: `orderctl.settings`. Here it is only named.
    return typer.Option(help=f"{meaning} Else {name} says so.", show_default=default)


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback(epilog=IN_WORDS)
def root(
    context: typer.Context,
    bootstrap_servers: Annotated[
        str | None, _address("KAFKA_BOOTSTRAP_SERVERS", settings.DEFAULT_BOOTSTRAP, "Where the broker is.")
    ] = None,
    orders_api_url: Annotated[
        str | None, _address("ORDERS_API_URL", settings.DEFAULT_ORDERS_API, "Where orders are asked for.")
    ] = None,
    inventory_api_url: Annotated[
        str | None, _address("INVENTORY_API_URL", settings.DEFAULT_INVENTORY_API, "Where stock is asked for.")
    ] = None,
    payment_api_url: Annotated[
        str | None, _address("PAYMENT_API_URL", settings.DEFAULT_PAYMENT_API, "Where charges are asked for.")
    ] = None,
    connect_timeout: Annotated[
        float, typer.Option(min=0.1, envvar="ORDERCTL_CONNECT_TIMEOUT_S", help="Seconds to wait for the broker.")
    ] = 10.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="The libraries' logs on stderr.")] = False,
) -> None:
    """Start, steer, watch and load-test orders."""
    cli.quiet_libraries(verbose)
    flags = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "ORDERS_API_URL": orders_api_url,
        "INVENTORY_API_URL": inventory_api_url,
        "PAYMENT_API_URL": payment_api_url,
    }
    context.obj = settings.load_settings(_with_flags(os.environ, flags), connect_timeout)


def _with_flags(env: Mapping[str, str], flags: Mapping[str, str | None]) -> dict[str, str]:
    """The environment as if it said what the flags say; a file that it names for the same is not looked at."""
    told = {name: value for name, value in flags.items() if value is not None}
    return {name: value for name, value in env.items() if name.removesuffix("_FILE") not in told} | told


app.command("start")(start.start)
app.command("approve")(order_verb(signals.approve))
app.command("cancel")(order_verb(signals.cancel))
app.command("add-item")(order_verb(signals.add_item))
app.command("retry-now")(order_verb(operations.retry_now))
app.command("pause")(order_verb(operations.pause))
app.command("resume")(order_verb(operations.resume))
app.command("resolve-attention")(order_verb(operations.resolve_attention))
app.add_typer(bulk.app, name="bulk")
app.command("status")(queries.status)
app.command("items")(queries.items)
app.command("history")(history.history)
app.command("list")(queries.list_orders)
app.command("doctor")(doctor.doctor)
app.command("stuck")(doctor.stuck)
app.command("services")(services.services)
app.command("watch")(watch.watch)
app.command("receive-stock")(shop.receive_stock)
# `-3` is a number here, not a flag.
app.command("adjust-stock", context_settings={"ignore_unknown_options": True})(shop.adjust_stock)
app.command("register-customer")(shop.register_customer)
app.command("erase-customer")(shop.erase_customer)
app.command("stock")(stock.stock)
app.command("charges")(queries.charges)
app.command("policies")(policies.policies)
app.command("import")(import_.import_orders)
app.command("load")(load.load)
app.command("audit")(audit.audit)
app.add_typer(dlq.app, name="dlq")
for verb in (*app.registered_commands, *bulk.app.registered_commands, *dlq.app.registered_commands):
    verb.epilog = IN_WORDS


def main() -> None:
    """The program's entry point."""
    try:
        app()
    except OrderctlError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except SettingsError as error:
        _tell(error)
        sys.exit(Exit.USAGE)


def _tell(error: Exception) -> None:
    render.err().print(f"[red]orderctl:[/] {render.escape(str(error))}", soft_wrap=True)


if __name__ == "__main__":
    main()
