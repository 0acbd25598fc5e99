"""A dry run: `python -m orderctl.importer [FILE]` says what an import would do, and sends nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orderctl.importer import SAMPLE, ImportFileError, ImportPlan, make_plan, orders_that_run_out, read_rows


def main(arguments: list[str]) -> int:
    """Print the report of an import of the file, or of the sample. 0: it adds up; 2: the file cannot be used."""
    path = Path(arguments[0]) if arguments else SAMPLE
    started = time.perf_counter()
    try:
        plan = make_plan(read_rows(path))
    except ImportFileError as error:
        print(error, file=sys.stderr)
        return 2
    took_s = time.perf_counter() - started
    print("\n".join(describe(plan)))
    print(f"{took_s * 1000:.0f} ms, {plan.report.rows / took_s:,.0f} rows/s")
    return 0


def describe(plan: ImportPlan) -> list[str]:
    """The report as lines of text."""
    report, short = plan.report, orders_that_run_out(plan)
    share = 100 * len(short) / max(1, len(plan.orders))
    return [
        f"rows {report.rows} = ordered {report.ordered} + merged {report.merged} + refused {report.refused}",
        *(f"  refused, {reason}: {count}" for reason, count in report.by_reason),
        f"invoices {report.invoices} = ordered {report.invoices_ordered} + without goods {report.invoices_without_goods}",
        f"customers {len(plan.customers)}, orders of the guest {report.guest_orders}, units {report.units}",
        f"SKUs {len(plan.catalogue)}, scarce {len(report.scarce)}: {len(short)} orders run out ({share:.1f} %)",
        f"rows with another price than the catalogue {report.price_differences}: "
        f"invoiced {report.invoiced_minor}, at catalogue prices {report.at_catalogue_prices_minor} pence",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
