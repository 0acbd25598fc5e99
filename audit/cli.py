"""The options of an audit, the same for `python -m audit` and `orderctl audit`."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape

from audit.errors import CouldNotLookError
from audit.report import as_json, print_report
from audit.rules import Terms
from audit.run import Report, audit, load_settings
from messaging.errors import SettingsError
from messaging.logs import LogSettings, configure

COULD_NOT_LOOK: Final = 2
GRACE_S: Final = 30.0
SETTLE_TIMEOUT_S: Final = 30.0
LIMIT: Final = 50

RecordOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--record", help="A sender's own record (`load --record`, `import --record`); may be given several times."
    ),
]
ExpectEndedFlag = Annotated[bool, typer.Option("--expect-ended", help="An order that is open is a breach.")]
GraceOption = Annotated[
    float, typer.Option("--grace", min=0, help="Seconds that a timer, message or call may be late.")
]
SettleOption = Annotated[float, typer.Option("--settle-timeout", min=0, help="Seconds to wait until all is at rest.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="Breaches to print; --json has all of them.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout and nothing else there.")]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said. `bootstrap_servers` None: as the environment says."""

    records: Sequence[Path] = ()
    expect_ended: bool = False
    grace_s: float = GRACE_S
    settle_timeout_s: float = SETTLE_TIMEOUT_S
    limit: int = LIMIT
    json: bool = False
    bootstrap_servers: str | None = None


def perform(options: Options) -> int:
    """Audit, print the report, and return the exit code: 0 nothing found, 1 breaches, 2 could not look."""
    # A million facts are kept to the end and none of them is part of a cycle: looking for cycles takes a quarter of the time.
    gc.disable()
    try:
        settings = load_settings()
        if options.bootstrap_servers is not None:
            settings = replace(settings, bootstrap_servers=options.bootstrap_servers)
        terms = Terms(options.grace_s, options.expect_ended)
        report = uvloop.run(audit(settings, terms, options.settle_timeout_s, options.records))
    except (CouldNotLookError, SettingsError) as error:
        if options.json:
            _print_json({"kind": "audit", "exit_code": COULD_NOT_LOOK, "error": str(error)})
        Console(stderr=True, highlight=False).print(f"[red]audit:[/] {escape(str(error))}", soft_wrap=True)
        return COULD_NOT_LOOK
    if options.json:
        _print_json(as_json(report))
    else:
        _show(report, options.limit)
    return report.exit_code


def _print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(to_json(document).decode() + "\n")
    sys.stdout.flush()


def _show(report: Report, limit: int) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    print_report(report, console, limit)


def command(
    record: RecordOption = None,
    expect_ended: ExpectEndedFlag = False,
    grace: GraceOption = GRACE_S,
    settle_timeout: SettleOption = SETTLE_TIMEOUT_S,
    limit: LimitOption = LIMIT,
    json: JsonFlag = False,
) -> None:
    """Check every promise against databases, gateway and topics. Exit codes: 0 nothing found, 1 breaches, 2 could not look."""
    raise typer.Exit(perform(Options(record or (), expect_ended, grace, settle_timeout, limit, json)))


def main() -> None:
    """`python -m audit`."""
    # What its client logs of an absent broker, the audit tells in its own words.
    configure(LogSettings(level="ERROR"), "audit", f"audit-{os.getpid()}", {"aiokafka": logging.CRITICAL + 1})
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()
