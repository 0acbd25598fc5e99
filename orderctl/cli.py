"""What all verbs share: their options, running a coroutine, and the settings that the root command read."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import typer
import uvloop

from contracts.values import Item
from messaging.logs import LogSettings, configure
from orderctl.errors import UsageError
from orderctl.exits import Exit
from orderctl.settings import Settings
from orderctl.transport import KafkaTransport, Transport

JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout and nothing else there.")]
OrderArgument = Annotated[str, typer.Argument(metavar="ORDER_ID", envvar="ORDER_ID", help="The order.")]
CommandIdOption = Annotated[
    str | None,
    typer.Option("--command-id", help="The command's id; the same id again is the same command. Default: a new one."),
]
NoWaitFlag = Annotated[bool, typer.Option("--no-wait", help="Return when the broker has the command; no verdict.")]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Send nothing: tell what it would do, or why it would be refused.")
]
OperatorOption = Annotated[
    str, typer.Option("--operator", envvar="OPERATOR", default_factory=getpass.getuser, help="Who asks.")
]
VerdictTimeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the verdict.")]

VERDICT_TIMEOUT_S: Final = 30.0

T = TypeVar("T")


def settings_of(context: typer.Context) -> Settings:
    """What the root command read."""
    found = context.find_object(Settings)
    return found if found is not None else Settings()


def transport_for(settings: Settings) -> Transport:
    """The way to the broker."""
    identity = f"orderctl-{socket.gethostname()}-{os.getpid()}"
    return KafkaTransport(settings.bootstrap_servers, identity, settings.connect_timeout_s)


def run(work: Callable[[], Coroutine[Any, Any, Exit]]) -> None:
    """Do the work and end with its exit code."""
    raise typer.Exit(done(work))


def done(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do a part of the work; what it found. Ends the program at Ctrl-C, and where nobody reads its output any more."""
    try:
        return uvloop.run(work())
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None


def quiet_libraries(verbose: bool) -> None:
    """The Kafka client logs what this client handles and tells in its own words."""
    level = logging.INFO if verbose else logging.CRITICAL + 1
    told = LogSettings(level="INFO" if verbose else "ERROR")
    configure(told, "orderctl", f"orderctl-{os.getpid()}", {"aiokafka": level, "messaging": level})


def parse_item(text: str) -> Item:
    """`SKU:QTY`; without a quantity it is one piece. Raises `UsageError`."""
    sku, colon, quantity = text.rpartition(":")
    if not colon:
        sku, quantity = text, "1"
    if not (quantity.isascii() and quantity.isdigit()) or not sku:
        raise UsageError(f"An item is written SKU:QUANTITY, as in MUG-1:2; {text!r} is not.")
    return Item.model_construct(sku=sku, quantity=int(quantity))
