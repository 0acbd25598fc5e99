"""Commands to the inventory service (from the orchestrator, and from those who run the shop), and its events."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts.values import (
    MAX_LINES,
    MAX_QUANTITY,
    CommandData,
    Currency,
    EventData,
    Id,
    Item,
    Moment,
    PricedItem,
    PriceMinor,
    Quantity,
    Sku,
    Text,
)

RefusalReason = Literal["out-of-stock", "unknown-sku", "currency-mismatch", "released"]
CommandRefusal = Literal["invalid", "not-allowed", "unknown-sku"]


class ReserveStock(CommandData):
    """Hold all lines or none, under this id. Lines of the same SKU are summed for the check. `currency`: what the order
    is in, or null for whatever the catalogue says. A repeat of the id gets the recorded answer again. `expires_at`: when the
    hold is announced as expired, unless it was extended; null: never. It frees nothing: only a release does."""

    reservation_id: Id
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=MAX_LINES)]
    currency: Currency | None = None
    expires_at: Moment | None = None


class ExtendReservation(CommandData):
    """The order still needs what is held: its expiry is this, if that is later than it was. It counts also when the expiry has
    passed, as long as the stock is held; to anything else it changes nothing. There is no answer."""

    reservation_id: Id
    expires_at: Moment


class ReleaseStock(CommandData):
    """Free what the reservation holds. If the reservation is not known yet, it is refused when it comes."""

    reservation_id: Id


class ReceiveStock(CommandData):
    """Stock came in. The optional price and currency set the catalogue's; a new SKU needs a price."""

    sku: Sku
    quantity: Quantity
    unit_price_minor: PriceMinor | None = None
    currency: Currency | None = None
    description: Text | None = None


class AdjustStock(CommandData):
    """Correct the count by `delta`, never below what is held."""

    sku: Sku
    delta: Annotated[int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY, json_schema_extra={"not": {"const": 0}})]
    reason: Text

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.delta == 0:
            raise ValueError("delta must not be 0")
        return self


class CheckStock(CommandData):
    """How much is there of these? A snapshot that holds nothing."""

    request_id: Id
    skus: Annotated[tuple[Sku, ...], Field(min_length=1, max_length=MAX_LINES)]


class StockLevel(EventData):
    """A SKU as it was when it was looked at; the price and currency are null where the catalogue does not know it."""

    sku: Sku
    on_hand: int
    unit_price_minor: PriceMinor | None = None
    currency: Currency | None = None


class StockChecked(EventData):
    """Answer to check-stock, in the order of the question."""

    request_id: str
    levels: tuple[StockLevel, ...]


class StockReserved(EventData):
    """Answer to reserve-stock: all lines are held, at the catalogue's prices, in the order of the command."""

    reservation_id: str
    items: tuple[PricedItem, ...]
    currency: Currency


class ReservationRefused(EventData):
    """Answer to reserve-stock: nothing is held. `released`: the release came before the reservation."""

    reservation_id: str
    reason: RefusalReason
    message: str


class StockReleased(EventData):
    """Answer to release-stock: what was freed; no items where nothing was held."""

    reservation_id: str
    items: tuple[Item, ...]


class ReservationExpired(EventData):
    """The expiry has passed and the stock is still held. The order decides: it extends the reservation or releases it. Told
    again, at growing intervals, until it does; `expired_at` is the expiry that has passed."""

    reservation_id: str
    expired_at: Moment


class StockShipped(EventData):
    """The order completed and its reservation left the house."""

    reservation_id: str
    items: tuple[Item, ...]


class StockReceived(EventData):
    """Answer to receive-stock."""

    command_id: str
    sku: Sku
    quantity: Quantity
    on_hand: int
    unit_price_minor: PriceMinor
    currency: Currency
    duplicate: bool


class StockAdjusted(EventData):
    """Answer to adjust-stock."""

    command_id: str
    sku: Sku
    delta: int
    on_hand: int
    duplicate: bool


class CommandRejected(EventData):
    """A shop command that changed nothing, and why."""

    command_id: str
    command_type: str
    reason: CommandRefusal
    message: str
    duplicate: bool


COMMANDS: Final[dict[str, type[CommandData]]] = {
    "inventory.reserve-stock.v1": ReserveStock,
    "inventory.extend-reservation.v1": ExtendReservation,
    "inventory.release-stock.v1": ReleaseStock,
    "inventory.check-stock.v1": CheckStock,
    "inventory.receive-stock.v1": ReceiveStock,
    "inventory.adjust-stock.v1": AdjustStock,
}

EVENTS: Final[dict[str, type[EventData]]] = {
    "inventory.stock-checked.v1": StockChecked,
    "inventory.stock-reserved.v1": StockReserved,
    "inventory.reservation-refused.v1": ReservationRefused,
    "inventory.stock-released.v1": StockReleased,
    "inventory.reservation-expired.v1": ReservationExpired,
    "inventory.stock-shipped.v1": StockShipped,
    "inventory.stock-received.v1": StockReceived,
    "inventory.stock-adjusted.v1": StockAdjusted,
    "inventory.command-rejected.v1": CommandRejected,
}
