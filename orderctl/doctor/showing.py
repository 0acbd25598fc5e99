"""How a diagnosis is told: to people as a chain, to programs as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console

from orderctl import render
from orderctl.doctor.chain import Advice, Diagnosis, Link, since, span, verb
from orderctl.doctor.facts import PartitionFacts, ProcessFacts, ServiceFacts
from orderctl.doctor.stuck import Group

_COLOURS: Final = {"stuck": "red", "behind": "yellow", "unknown": "yellow"}


def diagnosis_json(found: Diagnosis, unasked: Sequence[str], exit_code: int) -> dict[str, Any]:
    """The shape that `doctor --json` prints."""
    return {
        "order_id": found.order_id,
        "state": found.state,
        "cause": found.cause,
        "subject": found.subject,
        "chain": [_link(link) for link in found.chain],
        "advice": [_advice(advice) for advice in found.advice],
        "could_not_ask": list(unasked),
        "exit_code": exit_code,
    }


def print_diagnosis(console: Console, found: Diagnosis, unasked: Sequence[str]) -> None:
    """The chain, each line the cause of the one above it, and what helps."""
    colour = _COLOURS.get(found.state, "green")
    # `ended (ended)` tells nothing that `ended` does not.
    cause = "" if found.cause == found.state else f" ({_shown(found.cause)})"
    console.print(f"{_shown(found.order_id)}: [{colour}]{found.state}[/]{cause}")
    for depth, link in enumerate(found.chain):
        arrow = "" if depth == 0 else "  " * (depth - 1) + "-> "
        console.print(f"  {arrow}{_shown(link.fact)}")
    print_advice(console, found.advice)
    print_unasked(unasked)


def print_advice(console: Console, advice: Iterable[Advice], indent: str = "") -> None:
    """What helps, the command on a line of its own so that it can be copied."""
    for one in advice:
        console.print(f"{indent}[bold]help:[/] {_shown(one.text)}")
        if one.command is not None:
            console.print(f"{indent}      {_shown(one.command)}")


def print_unasked(unasked: Sequence[str]) -> None:
    """What could not be asked; it is about the answer and not part of it, so it goes to stderr."""
    for problem in unasked:
        render.err().print(f"[yellow]could not ask[/] {_shown(problem)}")


def _shown(text: str) -> str:
    """Text that others wrote: neither markup nor control characters may act on the terminal."""
    return render.escape("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text))


def _link(link: Link) -> dict[str, Any]:
    return {"fact": link.fact, "evidence": dict(link.evidence)}


def _advice(advice: Advice) -> dict[str, Any]:
    return {"text": advice.text, "command": advice.command}


# --- many orders --------------------------------------------------------------------------------------------------------


def groups_json(groups: Sequence[Group], examined: int, unasked: Sequence[str], exit_code: int) -> dict[str, Any]:
    """The shape that `stuck --json` prints."""
    items = [
        {
            "cause": group.cause,
            "subject": group.subject,
            "fact": group.fact,
            "advice": [_advice(advice) for advice in group.advice],
            "orders": [
                {
                    "order_id": case.order.order_id,
                    "status": case.order.status,
                    "waiting_for": case.order.waiting_for,
                    "since": case.since,
                    "command": verb("doctor", case.order.order_id),
                }
                for case in group.cases
            ],
        }
        for group in groups
    ]
    told = {"items": items, "next": None, "stuck": sum(len(group.cases) for group in groups), "examined": examined}
    return {**told, "could_not_ask": list(unasked), "exit_code": exit_code}


def print_groups(console: Console, groups: Sequence[Group], now: datetime) -> None:
    """One block for each cause: what it is, what helps, a line for each order."""
    for group in groups:
        about, count = f" at {group.subject}" if group.subject else "", len(group.cases)
        console.print(
            f"[red]{_shown(group.cause)}[/]{_shown(about)}: {count} order{'s' if count > 1 else ''}. {_shown(group.fact)}"
        )
        print_advice(console, group.advice, "  ")
        for case in group.cases:
            waits = f"{case.order.status}, waits for {case.order.waiting_for}{since(case.since, now)}"
            console.print(f"  {_shown(case.order.order_id)}  {_shown(waits)}")


# --- the services -------------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "service",
    "state",
    "partition",
    "lag",
    "outbox",
    "effects",
    "parked",
    "timers",
    "last progress",
    "trouble",
)
NUMBERS: Final = ("partition", "lag", "outbox", "effects", "parked")


def services_json(services: Iterable[ServiceFacts]) -> list[dict[str, Any]]:
    """The items that `services --json` prints: each process with its answer to `/progress`, or why there is none."""
    return [
        {
            "service": service.name,
            "url": process.url,
            "problem": process.problem,
            "detail": process.detail,
            "progress": dict(process.told) or None,
        }
        for service in services
        for process in service.processes
    ]


def service_rows(service: ServiceFacts) -> list[tuple[str, ...]]:
    """A row for each partition, and one for each process that has none or does not answer."""
    rows: list[tuple[str, ...]] = []
    for process in service.processes:
        rows += [_row(service.name, partition) for partition in process.partitions]
        if not process.partitions:
            state = process.problem or process.phase
            failed = process.last_error.text if process.last_error is not None else process.detail
            colour = "red" if process.problem is not None or process.last_error is not None else "yellow"
            rows.append((service.name, f"[{colour}]{_shown(state)}[/]", *("-",) * 7, _shown(failed)))
    return rows


def _row(name: str, partition: PartitionFacts) -> tuple[str, ...]:
    last = partition.last_error
    state, colour = (
        ("failing", "red") if partition.failing else ("ready", "green") if partition.ready else ("joining", "yellow")
    )
    ago = "-" if partition.last_progress_at is None else f"{span(partition.now - partition.last_progress_at)} ago"
    timers = "overdue" if partition.timers_overdue else "-" if partition.next_due_at is None else "set"
    counts = (partition.partition, partition.lag, partition.outbox_waiting, partition.effects, partition.parked)
    return (
        name,
        f"[{colour}]{state}[/]",
        *("-" if count is None else str(count) for count in counts),
        timers,
        ago,
        "" if last is None else _shown(f"{last.text} ({span(partition.now - last.at)} ago)"),
    )


def well(process: ProcessFacts) -> bool:
    """Whether the process answers, has its partitions and none of them is in trouble."""
    return (
        process.problem is None and process.ready and not any(p.failing or p.timers_overdue for p in process.partitions)
    )
