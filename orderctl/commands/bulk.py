"""`bulk`: an operator's command to many orders. A count and a sample first, then a run at a rate, with a receipt per order."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.values import CommandData
from orderctl import cli, foresight, render
from orderctl.bulk import report, selection
from orderctl.bulk.forecast import forecast
from orderctl.bulk.receipts import Receipt, ReceiptFile, new_run, read_run
from orderctl.bulk.report import Job
from orderctl.bulk.run import GIVE_UP_AFTER, Runner, Tally
from orderctl.bulk.selection import Selection
from orderctl.client import connect
from orderctl.command import Command, new_command
from orderctl.commands import operations
from orderctl.commands.progress import Bar
from orderctl.commands.verbs import Words, spliced
from orderctl.errors import UsageError
from orderctl.events import short_name
from orderctl.exits import Exit
from orderctl.http import Apis
from orderctl.settings import Settings

app: Final = typer.Typer(
    no_args_is_help=True, help="An operator's command to many orders: counted, at a rate, with receipts."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed. `receipts` None: a new file, named after the run."""

    data: CommandData
    selection: Selection
    receipts: Path | None
    rate_per_s: float
    timeout_s: float
    yes: bool
    json: bool


def bulk_verb(words: Words) -> Callable[..., None]:
    """The verb that says it to many orders."""
    return spliced(_act, words)


def _act(
    build: Callable[[], CommandData],
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="Orders in this status. Without it, those that have not ended.")
    ] = None,
    waiting_for: Annotated[str | None, typer.Option(help="Orders that wait for this, as refund.")] = None,
    customer: Annotated[str | None, typer.Option(help="This customer's.")] = None,
    sku: Annotated[str | None, typer.Option(help="Orders with a line of this SKU.")] = None,
    id_prefix: Annotated[str | None, typer.Option(help="Orders whose id begins so.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Started before then: 90s, 15m, 2h, 7d, 4w.")
    ] = None,
    ids: Annotated[Path | None, typer.Option(metavar="FILE", help="These orders, one id a line; - is stdin.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Commands per second.")] = 10.0,
    receipts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A receipt per order, as JSON lines; the same file again goes on there. Default: a new one.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: cli.DryRunFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    settings = cli.settings_of(context)
    age = None if older_than is None else selection.parse_age(older_than)
    # Only what is said is checked here: the order is a stand-in.
    data = new_command("-", build, None).data
    chosen = Selection(status, waiting_for, customer, age, ids, sku=sku, id_prefix=id_prefix)
    wish = Wish(data, chosen, receipts, rate, timeout, yes, json)
    if dry_run:
        cli.run(lambda: _foresee(settings, wish))
    job = cli.done(lambda: _job(settings, wish))
    if job.left and not yes:
        cli.done(lambda: _show(settings, job, wish.data))
        _confirm(job)
    cli.run(lambda: _run(settings, wish, job))


_VERBS: Final[dict[str, Words]] = {
    "cancel": operations.cancel,
    "retry-now": operations.retry_now,
    "pause": operations.pause,
    "resume": operations.resume,
    "resolve-attention": operations.resolve_attention,
}
for name, words in _VERBS.items():
    app.command(name)(bulk_verb(words))


# --- what it is about -------------------------------------------------------------------------------------------------


async def _job(settings: Settings, wish: Wish) -> Job:
    """The run that the receipts are of, or a new one over what is selected now."""
    now = datetime.now(UTC)
    found = None if wish.receipts is None else read_run(wish.receipts, wish.data)
    if found is not None and wish.receipts is not None:
        return Job(*found, wish.receipts, goes_on=True)
    async with Apis(settings) as apis:
        order_ids = await selection.select(wish.selection, apis, now)
    run = new_run(wish.data, order_ids)
    return Job(run, {}, wish.receipts or Path(f"bulk-{short_name(run.type)}-{now:%Y%m%d-%H%M%S}.jsonl"), goes_on=False)


def _commands(job: Job, data: CommandData) -> list[Command]:
    return [job.run.command(order_id, data) for order_id in job.left]


# --- dry run ----------------------------------------------------------------------------------------------------------


async def _foresee(settings: Settings, wish: Wish) -> Exit:
    job = await _job(settings, wish)
    commands = _commands(job, wish.data)
    async with Apis(settings) as apis:
        with Bar("plans", len(commands)) as bar:
            found = await forecast(apis, commands, bar.advance)
    if wish.json:
        render.print_json(found.as_json())
    else:
        for line in (report.headline(job), *report.forecast_lines(found)):
            render.out().print(line)
    return Exit.REJECTED if found.rejected else Exit.OK


# --- the run ----------------------------------------------------------------------------------------------------------


async def _run(settings: Settings, wish: Wish, job: Job) -> Exit:
    if not job.left:
        report.tell(job, Tally(), False, wish.json)
        return _end_of(job)
    stopped, told = asyncio.Event(), dict(job.receipts)
    with ReceiptFile(job.path, job.run) as file, Bar(short_name(job.run.type), len(job.left)) as bar:

        def keep(receipt: Receipt) -> None:
            file.add(receipt)
            told[receipt.order_id] = receipt
            bar.advance()

        async with connect(cli.transport_for(settings)) as client:
            runner = Runner(client, wish.rate_per_s, wish.timeout_s, keep)
            try:
                with _interruptible(runner, stopped):
                    tally = await runner.run(_commands(job, wish.data))
            finally:
                _say_how_to_go_on(replace(job, receipts=told), runner)
    job = replace(job, receipts=told)
    report.tell(job, tally, stopped.is_set(), wish.json)
    if job.left:
        return Exit.INTERRUPTED if stopped.is_set() else Exit.TIMEOUT
    return _end_of(job)


def _end_of(job: Job) -> Exit:
    """Of a run whose orders all have their receipt, whenever they got it."""
    return Exit.REJECTED if any(receipt.reason is not None for receipt in job.receipts.values()) else Exit.OK


async def _show(settings: Settings, job: Job, data: CommandData) -> None:
    """Show what it is about."""
    first = job.run.command(job.left[0], data)
    async with Apis(settings) as apis:
        plan = await apis.plan(first, known=job.goes_on)
    console = render.err()
    console.print(f"{report.headline(job)} The first of them:")
    for line in foresight.plan_lines(plan):
        console.print(line)


def _confirm(job: Job) -> None:
    """Ask. Raises `UsageError` where nobody can answer, or the answer is no. (Beside an event loop: there Ctrl-C would only be
    noted, and the question would go on waiting.)"""
    try:
        sure = typer.confirm(f"{short_name(job.run.type)} {len(job.left)} orders?", err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise UsageError("Nothing was sent. Where there is nobody to ask, say --yes.") from None
    if not sure:
        raise UsageError("Nothing was sent.")


@contextmanager
def _interruptible(runner: Runner, stopped: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C finishes what is under way; the second one leaves at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stopped.set()
        runner.stop()
        render.err().print("Finishing what is under way; Ctrl-C again leaves at once.")

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _say_how_to_go_on(job: Job, runner: Runner) -> None:
    if not job.left:
        return
    console = render.err()
    if runner.gave_up:
        console.print(
            f"{GIVE_UP_AFTER} commands in a row got no verdict; is the orders service running (`make status`)?"
        )
    path = render.escape(str(job.path))
    console.print(f"{len(job.left)} orders have no receipt yet. The same command with --receipts {path} goes on there.")
