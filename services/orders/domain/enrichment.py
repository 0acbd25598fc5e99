"""Version 2 begins by asking around: who the customer is, what is in stock, what goes well with it. All at once.

Customer and stock have to be answered. A recommendation is waited for two seconds; its absence is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from contracts import customer, inventory, orders, recommendation
from messaging.decision import Outgoing
from services.orders.domain.compensation import compensate
from services.orders.domain.move import Move, Situation, answered, ask, attention_over
from services.orders.domain.policies import RECOMMENDATION_PATIENCE_S
from services.orders.domain.state import Enrichment, Order, Phase, business_id


def enrich(order: Order, now: datetime) -> Move:
    """Ask customer, inventory and recommendation."""
    request_id = business_id("enr", order.order_id)
    waiting = Enrichment(request_id, now + timedelta(seconds=RECOMMENDATION_PATIENCE_S))
    skus = tuple(dict.fromkeys(item.sku for item in order.ordered.items))
    question = recommendation.Recommend(request_id=request_id, skus=skus)
    move = ask(replace(order, phase=Phase.ENRICHING, enrichment=waiting), now)
    return move.then(lambda o: Move(o, (Outgoing(o.order_id, question),)))


def customer_found(situation: Situation) -> Move:
    """The customer is known."""
    data = situation.message.data
    assert isinstance(data, customer.CustomerFound)
    return _learned(situation, lambda known: replace(known, tier=data.tier))


def customer_unknown(situation: Situation) -> Move:
    """Nobody has registered under this id: the order fails, and nothing has to be given back."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, customer.CustomerUnknown)
    if order.enrichment is None or data.request_id != order.enrichment.request_id:
        return Move(order)
    return answered(order).then(
        lambda o: compensate(
            o,
            situation.now,
            ending="FAILED",
            reason="unknown-customer",
            message="No customer is registered under this id.",
            nothing_held=True,
        )
    )


def stock_checked(situation: Situation) -> Move:
    """The stock is known, as it was. Nothing is decided by it: the reservation is what counts."""
    data = situation.message.data
    assert isinstance(data, inventory.StockChecked)
    return _learned(situation, lambda known: replace(known, levels=data.levels))


def recommended(situation: Situation) -> Move:
    """Something goes well with it."""
    data = situation.message.data
    assert isinstance(data, recommendation.Recommended)
    return _learned(situation, lambda known: replace(known, recommendations=data.skus))


def _learned(situation: Situation, learn: Callable[[Enrichment], Enrichment]) -> Move:
    order = situation.order
    if order.enrichment is None or situation.message.data.request_id != order.enrichment.request_id:
        return Move(order)
    learned = replace(order, enrichment=learn(order.enrichment))
    # One answer says nothing about the others' silence: whoever worries about it goes on until all is known.
    return go_on_if_known(learned, situation.now)


def stop_waiting_for_recommendations(order: Order, now: datetime) -> Move:
    """They had their time."""
    if order.enrichment is None:
        return Move(order)
    return go_on_if_known(replace(order, enrichment=replace(order.enrichment, recommend_by=None)), now)


def go_on_if_known(order: Order, now: datetime) -> Move:
    """Reserve, once customer and stock are known and the recommendation has come or had its time."""
    known = order.enrichment
    if known is None or known.tier is None or known.levels is None:
        return Move(order)
    if known.recommendations is None and known.recommend_by is not None:
        return Move(order)
    event = orders.OrderEnriched(
        customer_id=order.customer_id,
        tier=known.tier,
        levels=known.levels,
        recommendations=known.recommendations,
    )
    move = attention_over(order, "The answer came.").then(lambda o: Move(o, (Outgoing(o.order_id, event),)))
    return move.then(lambda o: ask(replace(o, phase=Phase.RESERVING), now))
