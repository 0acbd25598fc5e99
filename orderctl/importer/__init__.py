"""From a CSV of invoice lines to a plan of catalogue, customers, opening stock and orders. It reads files and sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orderctl.importer.plan import make_plan
from orderctl.importer.report import ImportReport, PriceDifference, RowFate, ScarceSku
from orderctl.importer.results import CatalogueEntry, CustomerEntry, ImportPlan, PlannedOrder
from orderctl.importer.rows import ImportFileError, Reason, Refused, Row, read_rows
from orderctl.importer.stock import orders_that_run_out

SAMPLE: Final = Path(__file__).with_name("sample.csv")
"""A small invented file with every kind of dirt in it, for where the real one is absent."""

__all__ = [
    "SAMPLE",
    "CatalogueEntry",
    "CustomerEntry",
    "ImportFileError",
    "ImportPlan",
    "ImportReport",
    "PlannedOrder",
    "PriceDifference",
    "Reason",
    "Refused",
    "Row",
    "RowFate",
    "ScarceSku",
    "make_plan",
    "orders_that_run_out",
    "read_rows",
]
