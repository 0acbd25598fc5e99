"""What people and programs read of an audit."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.facts import MoneyFacts
from audit.rules import PROMISES, Breach
from audit.run import Report

_ABOUT: Final = 60


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain data."""
    return {
        "kind": "audit",
        "clean": not report.breaches,
        "exit_code": report.exit_code,
        "as_of": report.as_of.isoformat().replace("+00:00", "Z"),
        "at_rest": not report.restless,
        "restless": list(report.restless),
        "open_payments": report.open_payments,
        "parked": [
            {
                "service": service,
                "key": p.key,
                "records": p.records,
                "topic": p.topic,
                "offset": p.offset,
                "error": p.error,
            }
            for service, p in report.parked
        ],
        "orders": report.orders,
        "statuses": dict(report.statuses),
        "not_judged": report.not_judged,
        "money": None if report.money is None else [_money_json(money) for money in report.money],
        "skus": report.skus,
        "stock": dict(report.pieces),
        "events": report.published,
        "sent": report.sent,
        "rules": [
            {"rule": name, "promise": promise, "applied": report.applied.get(name, 0), "breaches": count}
            for name, promise, count in _rules(report)
        ],
        "breaches": [breach.as_json() for breach in report.breaches],
        "waited_s": round(report.waited_s, 3),
        "elapsed_s": round(report.elapsed_s, 3),
    }


def _money_json(money: MoneyFacts) -> dict[str, Any]:
    return {
        "currency": money.currency,
        "completed_minor": money.completed_minor,
        "payment_captured_minor": money.payment_captured_minor,
        "payment_refunded_minor": money.payment_refunded_minor,
        "gateway_charged_minor": money.gateway_charged_minor,
        "gateway_refunded_minor": money.gateway_refunded_minor,
    }


def _rules(report: Report) -> list[tuple[str, str, int]]:
    broken = Counter(breach.rule for breach in report.breaches)
    return [(name, promise, broken[name]) for name, promise in PROMISES.items()]


def print_report(report: Report, console: Console, most: int) -> None:
    """The table of rules, the sums, and the first `most` breaches."""
    console.print(_rules_table(report))
    console.print()
    _print_sums(report, console)
    if report.restless:
        _print_restless(report, console)
    for service, lane in report.parked[:most]:
        console.print(
            f"[yellow]{escape(lane.key)} waits at {service}[/]: {lane.records} messages behind {lane.topic} {lane.offset} "
            f"({escape(lane.error or 'being handled')}); see `orderctl dlq list`"
        )
    if report.breaches:
        console.print()
        console.print(_breaches_table(report.breaches[:most]))
        if len(report.breaches) > most:
            console.print(f"and {len(report.breaches) - most} more (--limit, or --json for all of them)")
    verdict = f"[bold red]{len(report.breaches)} breaches[/]" if report.breaches else "[bold green]Nothing found[/]"
    waited = f", of these {report.waited_s:.1f} s waiting for rest" if report.waited_s >= 0.1 else ""
    console.print(
        f"\n{verdict}: {report.orders} orders, {report.published} events, in {report.elapsed_s:.1f} s{waited}."
    )


def _rules_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("looked at", justify="right")
    table.add_column("breaches", justify="right")
    for name, _, count in _rules(report):
        applied = report.applied.get(name, 0)
        colour = "red" if count else "green" if applied else "dim"
        table.add_row(f"[{colour}]{name}[/]", str(applied) if applied else "-", f"[{colour}]{count}[/]")
    return table


def _print_sums(report: Report, console: Console) -> None:
    statuses = ", ".join(f"{count} {escape(status)}" for status, count in report.statuses.items()) or "none"
    console.print(f"orders  {statuses}")
    for money in report.money or ():
        console.print(
            f"money   {escape(str(money.currency))} (minor units): completed {money.completed_minor} = "
            f"payment {money.payment_captured_minor} - {money.payment_refunded_minor}, "
            f"gateway {money.gateway_charged_minor} - {money.gateway_refunded_minor}"
        )
    if report.pieces:
        pieces = report.pieces
        console.print(
            f"stock   {report.skus} SKUs: on hand {pieces['on_hand']} + held {pieces['held']} + shipped {pieces['shipped']} "
            f"= received {pieces['received']} + adjusted {pieces['adjusted']}"
        )


def _print_restless(report: Report, console: Console) -> None:
    console.print(
        f"\n[yellow]The system did not come to rest within {report.waited_s:.0f} s.[/] Between the parties only orders were "
        f"compared that had ended before the audit began; {report.not_judged} others, and the sums of money, were not."
    )
    for reason in report.restless:
        console.print(f"  {escape(reason)}")


def _breaches_table(breaches: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("rule", "of", "about", "expected", "found"):
        table.add_column(column, overflow="fold")
    for breach in breaches:
        table.add_row(*(escape(cell) for cell in _cells(breach)))
    return table


def _cells(breach: Breach) -> tuple[str, ...]:
    return breach.rule, f"{breach.kind} {breach.subject}", breach.about[:_ABOUT], breach.expected, breach.found
