"""What a bulk run tells: how far it has come, what it would do, what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orderctl import render
from orderctl.bulk.forecast import Forecast
from orderctl.bulk.receipts import Receipt, Run
from orderctl.bulk.run import Tally
from orderctl.events import short_name


@dataclass(frozen=True, slots=True)
class Job:
    """A run and how far it has come."""

    run: Run
    receipts: Mapping[str, Receipt]
    path: Path
    goes_on: bool

    @property
    def left(self) -> tuple[str, ...]:
        """The orders without a receipt."""
        return tuple(order_id for order_id in self.run.order_ids if order_id not in self.receipts)


def headline(job: Job) -> str:
    """What is asked, and of how many."""
    left, verb = len(job.left), short_name(job.run.type)
    if job.goes_on:
        return f"{verb}: {render.count(left, 'order')} left of the {len(job.run.order_ids)} in {render.escape(str(job.path))}."
    return f"{verb}: {render.count(left, 'order')}."


def forecast_lines(found: Forecast) -> Iterator[str]:
    """The sums of a dry run, as markup."""
    yield f"  would be accepted  {found.accepted}"
    if found.undecided:
        yield f"  not decided yet    {found.undecided}"
    yield from _counts("  would be rejected ", found.rejected)
    yield from _counts("  would end as      ", found.outcomes)
    for (kind, currency), amount in sorted(found.money.items()):
        yield f"  money              {kind} {render.money(amount, currency)}"
    if found.unpriced:
        yield f"  money              and what is not priced yet, of {render.count(found.unpriced, 'order')}"
    for (kind, sku), quantity in sorted(found.stock.items()):
        yield (
            f"  stock              {kind} {render.escape(sku)} x {quantity}"
            if sku
            else f"  stock              {kind} what is reserved"
        )


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    for word, count in sorted(counts.items()):
        yield f"{title} {count} {render.escape(word)}"


def tell(job: Job, tally: Tally, stopped: bool, json: bool) -> None:
    """Print what the run did."""
    if json:
        render.print_json(_result(job, tally, stopped))
        return
    console = render.out()
    console.print(
        f"{short_name(job.run.type)}: {render.count(tally.receipts, 'receipt')} in {render.escape(str(job.path))}"
    )
    console.print(f"  accepted   {tally.accepted}" + (f" ({tally.duplicates} again)" if tally.duplicates else ""))
    for line in _counts("  rejected  ", tally.rejected):
        console.print(line)
    if tally.silent:
        console.print(f"  no verdict {len(tally.silent)}")
    if before := len(job.receipts) - tally.receipts:
        refused = sum(receipt.reason is not None for receipt in job.receipts.values()) - tally.rejected.total()
        console.print(f"  before     {before}" + (f" ({refused} rejected)" if refused else ""))
    if job.left:
        console.print(f"  left       {len(job.left)} of {len(job.run.order_ids)}")


def _result(job: Job, tally: Tally, stopped: bool) -> dict[str, Any]:
    return {
        "kind": "bulk",
        "run_id": job.run.run_id,
        "type": job.run.type,
        "orders": len(job.run.order_ids),
        "accepted": tally.accepted,
        "rejected": dict(tally.rejected),
        "duplicates": tally.duplicates,
        "unanswered": len(tally.silent),
        "before": len(job.receipts) - tally.receipts,
        "left": len(job.left),
        "stopped": stopped,
        "receipts": str(job.path),
    }
