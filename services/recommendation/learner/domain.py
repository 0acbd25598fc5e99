"""What is learnt, as pure functions over facts.

The unit is a `Basket`: "this order held this SKU, and these others". A basket is known by its order and its SKU and never changes,
so the knowledge is a set that only grows: told twice, in any order, by whoever, it is the same set. Every count follows from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from contracts.recommendation import MAX_RECOMMENDED
from contracts.values import Id, Sku
from services.recommendation.pairs import BoughtTogether, Pair


@dataclass(frozen=True, slots=True)
class Basket:
    """That this order held `sku`, and which other SKUs it held (sorted, each once, never none)."""

    sku: str
    order_id: str
    others: tuple[str, ...]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    order_id: Id
    others: tuple[Sku, ...]


_KEY: TypeAdapter[tuple[Sku, Id]] = TypeAdapter(tuple[Sku, Id])
_OTHERS: TypeAdapter[tuple[Sku, ...]] = TypeAdapter(tuple[Sku, ...])


def baskets_of(order_id: str, skus: Iterable[str]) -> tuple[Basket, ...]:
    """A basket for each distinct SKU of the order; none where it held one SKU only."""
    distinct = sorted(set(skus))
    if len(distinct) < 2:
        return ()
    return tuple(
        Basket(sku, order_id, tuple(distinct[:index] + distinct[index + 1 :])) for index, sku in enumerate(distinct)
    )


def encode(basket: Basket) -> bytes:
    """The basket's value on its topic, where the key is the SKU."""
    return to_json({"order_id": basket.order_id, "others": basket.others})


def decode(key: bytes | None, value: bytes | None) -> Basket | None:
    """The basket that stands on the topic so, or None if it is none."""
    try:
        told = _Told.model_validate_json(value or b"")
        sku = (key or b"").decode()
    except (ValidationError, UnicodeDecodeError):
        return None
    if not sku or not told.others or sku in told.others:
        return None
    return Basket(sku, told.order_id, told.others)


def row_of(basket: Basket) -> tuple[bytes, bytes]:
    """Key and value in the table and on its changelog. The key holds the order too: that is what makes a repeat a repeat."""
    return to_json((basket.sku, basket.order_id)), to_json(basket.others)


def basket_of(key: bytes, value: bytes) -> Basket | None:
    """The basket of a row, or None for what `row_of` did not write."""
    try:
        sku, order_id = _KEY.validate_json(key)
        return Basket(sku, order_id, _OTHERS.validate_json(value))
    except ValidationError:
        return None


class Counts:
    """How often SKUs were bought together. The caller sees to it that no basket is added twice."""

    def __init__(self, baskets: Iterable[Basket] = ()) -> None:
        self._with: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._orders: Counter[str] = Counter()
        for basket in baskets:
            self.add(basket)

    def add(self, basket: Basket) -> None:
        """One more order with this SKU."""
        self._orders[basket.sku] += 1
        self._with[basket.sku].update(basket.others)

    @property
    def skus(self) -> list[str]:
        """Every SKU that something is known about."""
        return list(self._orders)

    def best(self, sku: str, most: int = MAX_RECOMMENDED) -> BoughtTogether:
        """What goes with it: by count, then by SKU, so that the same baskets always give the same answer."""
        ranked = nsmallest(most, self._with[sku].items(), key=lambda item: (-item[1], item[0]))
        best = tuple(Pair(sku=other, count=count) for other, count in ranked)
        return BoughtTogether(sku=sku, orders=self._orders[sku], best=best)
