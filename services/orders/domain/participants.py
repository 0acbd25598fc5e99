"""The participants as one could wish them to be: each answers at once, and in the best way. For looking ahead only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts import customer, inventory, payment, recommendation
from contracts.orders import StartOrder
from contracts.values import DEFAULT_CURRENCY, CommandData, EventData, Item, PricedItem
from services.orders.domain.evolve import replace
from services.orders.domain.state import Order, business_id


@dataclass(frozen=True, slots=True)
class Participants:
    """What they would know: the prices and the currency that the order has seen, what its reservations hold, and whether money was
    taken while looking ahead."""

    prices: Mapping[str, int]
    currency: str | None
    held: Mapping[str, tuple[Item, ...]]
    taken: payment.ChargeCaptured | None = None

    def answer(self, asked: CommandData) -> tuple[Participants, EventData]:
        """What is answered to this request, and the participants after it. Raises `TypeError` for what is no request."""
        match asked:
            case customer.LookUpCustomer(request_id=request_id, customer_id=customer_id):
                return self, customer.CustomerFound(request_id=request_id, customer_id=customer_id, tier="STANDARD")
            case recommendation.Recommend(request_id=request_id):
                return self, recommendation.Recommended(request_id=request_id, skus=())
            case inventory.CheckStock(request_id=request_id):
                return self, inventory.StockChecked(request_id=request_id, levels=())
            case inventory.ReserveStock():
                return self._reserve(asked)
            case inventory.ReleaseStock(reservation_id=reservation_id):
                items = self.held.get(reservation_id, ())
                return self, inventory.StockReleased(reservation_id=reservation_id, items=items)
            case payment.Charge() | payment.VoidCharge() | payment.Refund():
                return self._pay(asked)
            case _:
                raise TypeError(f"{type(asked).__name__} is no request to a participant.")

    def _reserve(self, asked: inventory.ReserveStock) -> tuple[Participants, EventData]:
        items = tuple(
            PricedItem(sku=item.sku, quantity=item.quantity, unit_price_minor=self.prices.get(item.sku))
            for item in asked.items
        )
        currency = asked.currency or self.currency or DEFAULT_CURRENCY
        reserved = inventory.StockReserved(reservation_id=asked.reservation_id, items=items, currency=currency)
        return replace(self, held={**self.held, asked.reservation_id: asked.items}), reserved

    def _pay(self, asked: payment.Charge | payment.VoidCharge | payment.Refund) -> tuple[Participants, EventData]:
        if isinstance(asked, payment.Refund):
            return self, payment.Refunded(**asked.model_dump())
        if isinstance(asked, payment.Charge):
            captured = payment.ChargeCaptured(**asked.model_dump(exclude={"payment_method"}))
            return replace(self, taken=captured), captured
        if self.taken is not None:
            return self, self.taken.model_copy(update={"attempt": asked.attempt})
        return self, payment.ChargeVoided(charge_id=asked.charge_id, attempt=asked.attempt)


def participants_of(order: Order | None) -> Participants:
    """What they would know of this order."""
    if order is None or not isinstance(order.request, StartOrder):
        return Participants({}, None, {})
    levels = order.enrichment.levels or () if order.enrichment is not None else ()
    seen = {level.currency for level in levels if level.currency is not None}
    return Participants(
        prices=_prices(levels) | _prices(order.items),
        currency=order.currency or order.request.currency or (seen.pop() if len(seen) == 1 else None),
        held=_held(order, order.request.items),
    )


def _prices(found: Iterable[inventory.StockLevel | PricedItem]) -> dict[str, int]:
    return {item.sku: item.unit_price_minor for item in found if item.unit_price_minor is not None}


def _held(order: Order, ordered: tuple[Item, ...]) -> dict[str, tuple[Item, ...]]:
    """What each reservation holds. Added lines stand behind the ordered ones, in the order of their reservations; once some of
    those are released, the order does not say any more which line was whose."""
    first = business_id("rsv", order.order_id, "0")
    added = [Item(sku=item.sku, quantity=item.quantity) for item in order.items[len(ordered) :]]
    reservations = [held for held in order.reservations if held != first]
    lines = dict(zip(reservations, ((item,) for item in added), strict=True)) if len(reservations) == len(added) else {}
    undecided = {line.reservation_id: (line.item,) for line in order.pending}
    return {first: ordered, **lines, **undecided}
