"""`python -m devstack`: the stack from the command line. Exit codes: 0 done, 1 it is not so, 2 wrong usage."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from devstack.control import StackStatus
from devstack.environment import export_lines
from devstack.errors import DevstackError
from devstack.processes import SERVICES, WATCHER
from devstack.progress import Report
from devstack.stack import READY_TIMEOUT_S, Stack

app = typer.Typer(
    help="Apache Kafka, PostgreSQL and the services as local processes on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "stopped": "dim"}


ReadyTimeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=1,
        envvar="DEVSTACK_READY_TIMEOUT_S",
        help="Seconds to wait until all of it is ready; it goes on then.",
    ),
]


@app.command()
def up(
    only_backends: Annotated[
        bool, typer.Option(help="Start the broker, the database and the SMTP sink alone.")
    ] = False,
    watcher: Annotated[
        bool,
        typer.Option(envvar="DEVSTACK_WATCHER", help="Also what looks at the invariants, for the console's dashboard."),
    ] = True,
    timeout_s: ReadyTimeout = READY_TIMEOUT_S,
) -> None:
    """Start the stack in the background; returns when all of it is ready. Twice is harmless."""
    began = time.monotonic()
    with _told() as report:
        status = Stack(services=(*SERVICES, WATCHER) if watcher else SERVICES).up(
            only_backends=only_backends, report=report, timeout_s=timeout_s
        )
    _print_table(status)
    typer.echo(f"Ready after {time.monotonic() - began:.1f} s.")


@app.command()
def down(
    wipe: Annotated[bool, typer.Option(help="Forget all data too: topics, databases, mails, logs.")] = False,
) -> None:
    """Stop the stack; no process is left."""
    with _told() as report:
        Stack().down(wipe=wipe, report=report)
    typer.echo("The stack is down.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """What runs where. The exit code is 0 if everything runs."""
    with _told():
        found = Stack().status()
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    elif found.phase == "down":
        typer.echo("The stack is down; `python -m devstack up` starts it.")
    else:
        _print_table(found)
        typer.echo(_summary(found))
    raise typer.Exit(0 if found.all_run else 1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A process, as `status` names it; or `supervisor`.")],
    lines: Annotated[int, typer.Option("-n", help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as the log grows.")] = False,
) -> None:
    """The end of a process's log."""
    folder = Stack().settings.logs
    path = folder / f"{name}.log"
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in folder.glob("*.log"))) or "none yet"
        _fail(f"There is no log of {name!r}; there are: {there}.")
    raise typer.Exit(subprocess.call(["tail", "-n", str(lines), *(["-f"] if follow else []), str(path)]))


@app.command()
def env() -> None:
    """Lines that a shell can evaluate: where broker, databases, queries and mails are."""
    with _told():
        typer.echo(export_lines(Stack().environment()))


@app.command()
def kill(
    name: Annotated[str, typer.Argument(help="A process, as `status` names it.")],
    signal_name: Annotated[str, typer.Option("--signal", help="KILL, TERM, STOP, CONT, ...")] = "KILL",
) -> None:
    """Send a signal to a process and all it started; the supervisor starts it again if it dies."""
    with _told():
        Stack().kill(name, _signal_number(signal_name))
    typer.echo(f"Sent {signal_name.upper()} to {name}.")


@app.command()
def topics() -> None:
    """Create the topics that are missing; those that are there stay as they are. Twice is harmless."""
    with _told():
        Stack().ensure_topics()
    typer.echo("All topics are there.")


@app.command()
def restart(
    name: Annotated[str, typer.Argument(help="A process, as `status` names it.")],
    timeout_s: ReadyTimeout = READY_TIMEOUT_S,
) -> None:
    """Stop a process in an orderly way and start it again; returns when everything is ready."""
    with _told():
        stack = Stack()
        stack.restart(name)
        stack.wait_until_ready(timeout_s)
    typer.echo(f"{name} runs again.")


def main() -> None:
    """The command line."""
    app(prog_name="python -m devstack")


def _signal_number(name: str) -> int:
    short = name.upper().removeprefix("SIG")
    try:
        return signal.Signals[f"SIG{short}"]
    except KeyError:
        raise DevstackError(f"There is no signal {name!r}; try KILL, TERM, STOP or CONT.") from None


@contextmanager
def _told() -> Iterator[Report]:
    """Progress as lines with the seconds passed; an error as one sentence."""
    began = time.monotonic()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    report: Callable[[str], None] = lambda line: console.print(  # noqa: E731
        f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {line}"
    )
    try:
        yield report
    except DevstackError as error:
        _fail(str(error))


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    sys.exit(1)


def _print_table(status: StackStatus) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "pid", "address", "state", "restarts", "log"):
        table.add_column(heading, no_wrap=True)
    for process in status.processes:
        colour = _COLOURS.get(process.state, "default")
        row = (process.name, str(process.pid or "-"), process.address, f"[{colour}]{process.state}[/]")
        table.add_row(*row, str(process.restarts), _short(process.log))
    # Whole paths, for a person who copies them and for a program that reads them; the terminal may wrap.
    Console(highlight=False, width=240).print(table)


def _summary(status: StackStatus) -> str:
    if status.problem:
        return f"The stack is {status.phase}. {status.problem}"
    waited_for = [process.name for process in status.processes if process.state != "ready"]
    if status.phase == "running" and waited_for:
        return f"The stack is running, but not ready: {', '.join(waited_for)}."
    return f"The stack is {status.phase}."


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
