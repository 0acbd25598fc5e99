"""What became of every row, and the sums that must agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orderctl.importer.rows import Reason

Outcome = Literal["ordered", "merged", "refused"]


@dataclass(frozen=True, slots=True)
class RowFate:
    """What became of one row. `reason` and `detail` are there for refused rows only."""

    line: int
    invoice: str
    sku: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """An ordered or merged row whose invoice had another price than the catalogue."""

    line: int
    invoice: str
    sku: str
    invoice_price_minor: int
    catalogue_price_minor: int


@dataclass(frozen=True, slots=True)
class ScarceSku:
    """A SKU that opens with less than the file's orders ask for."""

    sku: str
    demand: int
    opening_stock: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The sums of an import. `by_reason` names each reason that occurred with its rows, in the order of `Reason`.

    `invoices` counts the invoice numbers that could be read; each is ordered, or has nothing left that could be.
    `units` are the pieces in the orders, `row_units` those in the ordered and merged rows.
    """

    rows: int
    ordered: int
    merged: int
    refused: int
    by_reason: tuple[tuple[Reason, int], ...]
    invoices: int
    invoices_ordered: int
    invoices_without_goods: int
    row_units: int
    units: int
    guest_orders: int
    price_differences: int
    price_examples: tuple[PriceDifference, ...]
    invoiced_minor: int
    at_catalogue_prices_minor: int
    scarce: tuple[ScarceSku, ...]

    @property
    def adds_up(self) -> bool:
        """Whether every row, invoice and piece is accounted for exactly once."""
        return (
            self.ordered + self.merged + self.refused == self.rows
            and sum(count for _, count in self.by_reason) == self.refused
            and self.invoices_ordered + self.invoices_without_goods == self.invoices
            and self.row_units == self.units
        )
