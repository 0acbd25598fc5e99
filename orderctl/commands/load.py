"""`load`: n orders at a rate, each counted to its end."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from orderctl import cli, render
from orderctl.commands.progress import Bars, milliseconds
from orderctl.errors import UsageError
from orderctl.exits import Exit
from orderctl.load import LoadPlan, LoadResult, Target, run_load
from orderctl.settings import Settings

#: How many unfinished orders are named.
_NAMED: Final = 20


def load(  # one parameter for each flag
    context: typer.Context,
    orders: Annotated[int, typer.Option("--orders", "-n", min=0, help="How many.")] = 100,
    rate: Annotated[
        float, typer.Option(min=0, help="Orders per second, at random times; 0: as fast as possible.")
    ] = 0.0,
    max_open: Annotated[int, typer.Option(min=1, help="With --rate 0: unfinished orders at a time.")] = 500,
    approve: Annotated[
        bool, typer.Option("--approve/--no-approve", help="The approval follows the start at once.")
    ] = True,
    cancel_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of orders that are cancelled.")] = 0.0,
    decline_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of orders whose card is declined.")] = 0.0,
    unapproved_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of orders that nobody approves.")] = 0.0,
    payment_method: Annotated[str, typer.Option(help="How the others pay.")] = "pm_card_visa",
    items_per_order: Annotated[int, typer.Option(min=1, max=1000, help="Lines of an order, one piece each.")] = 1,
    skus: Annotated[int, typer.Option(min=1, help="SKUs to choose from.")] = 20,
    customers: Annotated[int, typer.Option(min=1, help="Customers to choose from.")] = 10,
    stock_per_sku: Annotated[
        int | None, typer.Option(min=1, help="Pieces received of each SKU. Default: enough for all.")
    ] = None,
    approval_timeout: Annotated[int, typer.Option(min=1, help="Seconds; ends orders nobody approves.")] = 900,
    workflow_version: Annotated[int | None, typer.Option(help="Default: the newest.")] = None,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Neither customers nor stock are made first.")] = False,
    run_id: Annotated[str | None, typer.Option(help="Head of all ids; the same again is the same run again.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is random.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the rest after the last order was sent.")] = 60.0,
    retry: Annotated[float, typer.Option(min=0.1, help="Seconds that the broker may be away.")] = 120.0,
    record: Annotated[Path | None, typer.Option(help="Write what was sent and heard as JSON lines.")] = None,
    json: cli.JsonFlag = False,
) -> None:
    """Send orders and count each to its end. 0: every order ended and every command has its verdict; 6: some did not in time."""
    settings = cli.settings_of(context)
    try:
        plan = LoadPlan(
            run_id=run_id or new_run_id(),
            orders=orders,
            rate_per_s=rate,
            max_open=max_open,
            approve=approve,
            cancel_rate=cancel_rate,
            decline_rate=decline_rate,
            unapproved_rate=unapproved_rate,
            payment_method=payment_method,
            items_per_order=items_per_order,
            skus=skus,
            customers=customers,
            stock_per_sku=stock_per_sku,
            approval_timeout_s=approval_timeout,
            workflow_version=workflow_version,
            setup=not no_setup,
            seed=seed,
            timeout_s=timeout,
            retry_s=retry,
            record=record,
            target=_target(settings),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    cli.run(lambda: _load(plan, settings, json))


def new_run_id() -> str:
    """The time, and something random for two runs in one second."""
    return f"LOAD-{datetime.now(UTC).strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _target(settings: Settings) -> Target:
    return Target(settings.bootstrap_servers, settings.orders_api_url, settings.connect_timeout_s)


async def _load(plan: LoadPlan, settings: Settings, json: bool) -> Exit:
    with Bars() as bars:
        result = await run_load(plan, bars.on_progress, bars.on_setup, cli.transport_for(settings))
    if json:
        render.print_json({"kind": "load", "run_id": plan.run_id, **result_json(result)})
    else:
        print_result(result)
    return Exit.OK if result.finished else Exit.TIMEOUT


def result_json(result: LoadResult) -> dict[str, object]:
    """The shape that `--json` prints."""
    return {
        "orders": result.orders,
        "commands": result.commands,
        "elapsed_s": round(result.elapsed_s, 3),
        "completed_per_s": round(result.completed_per_s, 1),
        "outcomes": {name: result.outcomes.get(name, 0) for name in ("completed", "failed", "cancelled", "rejected")},
        "reasons": result.reasons,
        "verdicts": {
            "accepted": result.accepted,
            "rejected": result.rejected_commands,
            "duplicates": result.duplicates,
        },
        "latency_s": result.latency,
        "finished": result.finished,
        "unfinished": len(result.unfinished),
        "unfinished_orders": result.unfinished[:_NAMED],
    }


def print_result(result: LoadResult) -> None:
    """The same for people."""
    console = render.out()
    counts = ", ".join(f"{count} {render.coloured(name)}" for name, count in sorted(result.outcomes.items()))
    console.print(f"{result.orders} orders ({result.commands} commands): {counts or 'none ended'}")
    for reason, count in result.reasons.items():
        console.print(f"  {render.escape(reason.replace(':', ', '))}: {count}")
    for reason, count in result.rejected_commands.items():
        console.print(f"  commands rejected, {render.escape(reason)}: {count}")
    if result.duplicates:
        console.print(f"  {result.duplicates} commands had been sent before and changed nothing")
    latency = result.latency
    if latency.count:
        console.print(
            f"{result.completed_per_s:.1f} completed orders/s in {result.elapsed_s:.1f} s; p50 {milliseconds(latency.p50_s)}, "
            f"p90 {milliseconds(latency.p90_s)}, p99 {milliseconds(latency.p99_s)}, at most {milliseconds(latency.max_s)}"
        )
    if result.unfinished:
        errors = render.err()
        first = render.escape(result.unfinished[0])
        errors.print(
            f"[red]{len(result.unfinished)} orders did not end in time[/] or have a command without a verdict, {first} among "
            f"them: `orderctl history {first}` says where it is; --timeout gives them longer."
        )
        if result.lookup_error:
            errors.print(render.escape(result.lookup_error))
