"""`import`: real orders from a file of invoice lines, each followed to its end."""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, StartOrder
from contracts.values import Item
from orderctl import cli, render
from orderctl.command import Command
from orderctl.commands.load import print_result, result_json
from orderctl.commands.progress import Bars
from orderctl.errors import UsageError
from orderctl.events import Verdict
from orderctl.exits import Exit
from orderctl.http import Apis
from orderctl.importer import SAMPLE, ImportFileError, ImportPlan, ImportReport, make_plan, read_rows
from orderctl.load.engine import Engine, Pace
from orderctl.load.plan import OrderScript
from orderctl.load.record import Recorder
from orderctl.load.result import LoadResult
from orderctl.load.setup import ask_all
from orderctl.settings import Settings

SOURCE: Final = "orderctl-import"
RETRY_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to import."""

    approve: bool
    limit: int | None
    max_open: int
    timeout_s: float
    record: Path | None


def import_orders(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Invoice lines as CSV.", show_default="a small sample")
    ] = SAMPLE,
    approve: Annotated[bool, typer.Option("--approve/--no-approve", help="Approve every order.")] = True,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Only the first so many orders (with all of the stock).")
    ] = None,
    max_open: Annotated[int, typer.Option(min=1, help="Unfinished orders at a time.")] = 200,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for the rest after the last order was sent.")
    ] = 120.0,
    record: Annotated[Path | None, typer.Option(help="Write what was sent and heard as JSON lines.")] = None,
    json: cli.JsonFlag = False,
) -> None:
    """Import catalogue, stock, customers and orders from a CSV of invoice lines (docs/import.md has the rules)."""
    try:
        plan = plan_of(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except (ImportFileError, OSError) as error:
        raise UsageError(str(error)) from None
    settings = cli.settings_of(context)
    options = Options(approve, limit, max_open, timeout, record)
    cli.run(lambda: _import(settings, plan, Naming(digest), options, json))


def plan_of(file: Path) -> ImportPlan:
    """The plan for a file of invoice lines. Raises `ImportFileError`, `OSError`."""
    # Hundreds of thousands of rows are kept and none is garbage: looking through them again and again took
    # about a quarter of the time.
    gc.disable()
    try:
        return make_plan(read_rows(file))
    finally:
        gc.freeze()
        gc.enable()


class Naming:
    """Command ids that follow from the file and the place in it: the same file again sends the same commands again."""

    def __init__(self, digest: str) -> None:
        self._digest = digest

    def command(self, what: str, key: str, data: Any, part: int = 0) -> Command:
        """The command about `key`; `part` counts several of one kind."""
        place = hashlib.sha256(f"{what}\0{key}\0{part}".encode()).hexdigest()[:24]
        return Command(f"{self._digest}-{what}-{place}", key, data, SOURCE)


def setup_commands(plan: ImportPlan, naming: Naming) -> list[Command]:
    """Catalogue with opening stock, and customers."""
    stock = [
        naming.command(
            "stock",
            entry.sku,
            ReceiveStock(
                sku=entry.sku,
                quantity=quantity,
                unit_price_minor=entry.unit_price_minor,
                currency=entry.currency,
                description=entry.description,
            ),
            part,
        )
        for entry in plan.catalogue
        for part, quantity in enumerate(entry.receipts)
    ]
    customers = [
        naming.command(
            "customer",
            entry.customer_id,
            RegisterCustomer(customer_id=entry.customer_id, name=entry.name, email=entry.email),
        )
        for entry in plan.customers
    ]
    return stock + customers


def order_scripts(plan: ImportPlan, naming: Naming, approve: bool) -> Iterator[OrderScript]:
    """One start-order, and its approval, for each order of the plan."""
    for order in plan.orders:
        items = tuple(Item(sku=sku, quantity=quantity) for sku, quantity in order.items)
        commands = [naming.command("start", order.order_id, StartOrder(customer_id=order.customer_id, items=items))]
        if approve:
            commands.append(naming.command("approve", order.order_id, ApprovePayment(approved_by=SOURCE)))
        yield OrderScript(order.order_id, 0.0, tuple(commands))


async def _import(settings: Settings, plan: ImportPlan, naming: Naming, options: Options, json: bool) -> Exit:
    chosen = plan if options.limit is None else replace(plan, orders=plan.orders[: options.limit])
    transport = cli.transport_for(settings)
    try:
        with Recorder(options.record) as recorder, Bars() as bars:
            async with Apis(settings) as apis:
                commands = setup_commands(plan, naming)
                answers = await ask_all(transport, commands, recorder, options.timeout_s, RETRY_S, bars.on_setup)
                pace = Pace(False, options.max_open, options.timeout_s, RETRY_S)
                engine = Engine(transport, len(chosen.orders), pace, recorder, bars.on_progress, apis.order)
                result = await engine.run(order_scripts(chosen, naming, options.approve))
    finally:
        await transport.close()
    refusals = Counter(
        f"{answer.type.partition('.')[0]}:{answer.reason}" for answer in answers.values() if not answer.accepted
    )
    if json:
        render.print_json(_document(plan.report, answers, refusals, result))
    else:
        _print(plan.report, answers, refusals, result)
    return Exit.OK if result.finished else Exit.TIMEOUT


def nothing_new(answers: Mapping[str, Verdict], result: LoadResult) -> bool:
    """Whether the system had all of this before."""
    return all(a.duplicate for a in answers.values()) and result.duplicates == result.commands and result.commands > 0


def _document(
    report: ImportReport, answers: Mapping[str, Verdict], refusals: Mapping[str, int], result: LoadResult
) -> dict[str, object]:
    counts = {name: getattr(report, name) for name in report.__dataclass_fields__}
    return {
        "kind": "import",
        "rows": counts | {"by_reason": dict(report.by_reason), "adds_up": report.adds_up},
        "setup": {
            "commands": len(answers),
            "duplicates": sum(answer.duplicate for answer in answers.values()),
            "refused": dict(refusals),
        },
        "orders": result_json(result),
        "imported_before": nothing_new(answers, result),
    }


def _print(
    report: ImportReport, answers: Mapping[str, Verdict], refusals: Mapping[str, int], result: LoadResult
) -> None:
    console = render.out()
    sums = "adds up" if report.adds_up else "DOES NOT ADD UP"
    console.print(
        f"{report.rows} rows = {report.ordered} ordered + {report.merged} merged + {report.refused} refused ({sums})"
    )
    for reason, count in report.by_reason:
        console.print(f"  refused, {reason}: {count}")
    console.print(
        f"{report.invoices} invoices = {report.invoices_ordered} orders + {report.invoices_without_goods} without goods; "
        f"{report.guest_orders} orders of the guest; {report.units} pieces"
    )
    if report.price_differences:
        before, now = (render.money(m, "GBP") for m in (report.invoiced_minor, report.at_catalogue_prices_minor))
        console.print(
            f"{report.price_differences} rows had another price than the catalogue: {before} invoiced, {now} ordered"
        )
    if report.scarce:
        console.print(f"{len(report.scarce)} SKUs open with less than is asked for, on purpose: some orders run out")
    for refusal, count in refusals.items():
        console.print(f"[red]{count} commands of the setup were refused[/]: {refusal}")
    print_result(result)
    if nothing_new(answers, result):
        console.print("This file had been imported before: nothing changed.")
