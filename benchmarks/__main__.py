"""`python -m benchmarks`: what an order costs, measured on backends of its own."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from benchmarks.check import check
from benchmarks.client import client
from benchmarks.console import console
from benchmarks.errors import NotMeasuredError
from benchmarks.growth import growth
from benchmarks.hot import hot
from benchmarks.listing import listing
from benchmarks.machine import machine
from benchmarks.rounds import peers
from benchmarks.run import run
from benchmarks.scale import scale
from devstack.errors import DevstackError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)
app.command()(run)
app.command()(peers)
app.command()(check)
app.command()(client)
app.command()(listing)
app.command()(console)
app.command()(hot)
app.command()(growth)
app.command()(scale)
app.command()(machine)


def main() -> None:
    """The command line. What keeps a stack from running, or a figure from counting, is told in a sentence."""
    try:
        app()
    except (DevstackError, NotMeasuredError) as error:
        Console(stderr=True).print(f"error: {error}", style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
