"""What an import comes to: the data that somebody else sends as commands."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.values import MAX_QUANTITY
from orderctl.importer.report import ImportReport, RowFate


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A product with its price and the stock that the shop opens with (at least 1)."""

    sku: str
    description: str
    unit_price_minor: int
    currency: str
    opening_stock: int

    @property
    def receipts(self) -> tuple[int, ...]:
        """The opening stock in quantities that one receive-stock command may carry; mostly a single one."""
        full, rest = divmod(self.opening_stock, MAX_QUANTITY)
        return (MAX_QUANTITY,) * full + ((rest,) if rest else ())


@dataclass(frozen=True, slots=True)
class CustomerEntry:
    """A customer with an invented name and address."""

    customer_id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order within the contract's limits: each SKU once, in the order of the invoice."""

    order_id: str
    customer_id: str
    items: tuple[tuple[str, int], ...]
    source_invoice: str


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Everything to send, in this order: catalogue (by SKU), customers and orders (as they first appear in the file).

    Every SKU and customer of an order is in the plan, and nothing that no order needs. `fates` says for each row of the file,
    in its order, what became of it; `report` sums that up.
    """

    catalogue: tuple[CatalogueEntry, ...]
    customers: tuple[CustomerEntry, ...]
    orders: tuple[PlannedOrder, ...]
    fates: tuple[RowFate, ...]
    report: ImportReport
