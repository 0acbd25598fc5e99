"""Whatever is asked, in whatever order and however often: no piece comes from nothing and none is lost."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.inventory import AdjustStock, ReceiveStock, ReleaseStock, ReserveStock
from contracts.orders import OrderCompleted
from contracts.values import Item, PricedItem
from messaging.decision import Message
from services.inventory.domain import decide
from services.inventory.ledger import Ledger, Reservation, Stock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINE = PricedItem(sku="A", quantity=1, unit_price_minor=1)

skus = st.sampled_from("ABC")
orders = st.sampled_from(["o1", "o2", "o3"])
reservation_ids = st.sampled_from(["r1", "r2"])
counts = st.integers(1, 8)
items = st.lists(st.builds(Item, sku=skus, quantity=counts), min_size=1, max_size=4).map(tuple)
to_orders = st.tuples(
    orders,
    st.one_of(
        st.builds(ReserveStock, reservation_id=reservation_ids, items=items),
        st.builds(ReleaseStock, reservation_id=reservation_ids),
        st.builds(
            OrderCompleted,
            items=st.just((LINE,)),
            total_minor=st.just(1),
            currency=st.just("GBP"),
            customer_id=st.just("c"),
            reservation_ids=st.lists(reservation_ids, max_size=3).map(tuple),
        ),
    ),
)
to_the_shop = st.one_of(
    st.builds(ReceiveStock, sku=skus, quantity=counts, unit_price_minor=st.sampled_from([None, 5])),
    st.builds(AdjustStock, sku=skus, delta=st.integers(-8, 8).filter(bool), reason=st.just("count")),
).map(lambda data: (data.sku, data))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(to_orders, to_the_shop), max_size=40))
def test_stock_is_conserved_and_never_negative(messages: list[tuple[str, Any]]) -> None:
    stock: dict[str, Stock] = {}
    reservations: dict[tuple[str, str], Reservation] = {}
    for number, (key, data) in enumerate(messages):
        message = Message("t", key, data, f"m{number}", "s", NOW, f"u{number}")
        changes = decide(Ledger(stock, reservations, {}), message, NOW, "GBP").state
        stock.update(changes.stock)
        reservations.update(changes.reservations)
    held, shipped = _lines(reservations, "held"), _lines(reservations, "shipped")
    for sku, row in stock.items():
        assert row.on_hand >= 0
        assert (row.held, row.shipped) == (held[sku], shipped[sku])
        assert row.on_hand + row.held + row.shipped == row.received + row.adjusted
    assert set(held) | set(shipped) <= set(stock)


def _lines(reservations: dict[tuple[str, str], Reservation], state: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for reservation in reservations.values():
        if reservation.state == state:
            for line in reservation.lines:
                sums[line.sku] += line.quantity
    return sums
