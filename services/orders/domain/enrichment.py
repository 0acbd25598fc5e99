"""Version 2 begins by asking around: who the customer is, what is in stock, what goes well with it. All at once.

Customer and stock have to be answered. A recommendation is waited for two seconds; its absence is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from contracts import customer, inventory, orders, recommendation
from messaging.decision import Outgoing
from services.orders.domain.compensation import compensate
from services.orders.domain.evolve import replace
from services.orders.domain.move import Move, Situation, answered, ask, attention_over
from services.orders.domain.policies import RetryPolicy
from services.orders.domain.retries import Failure, Next, noted
from services.orders.domain.state import Enrichment, Order, Phase, business_id


def enrich(order: Order, now: datetime, patience: RetryPolicy) -> Move:
    """Ask customer, inventory and recommendation; the last one has its own `patience`."""
    waiting = Enrichment(business_id("enr", order.order_id), now + patience.delay(1))
    move = ask(replace(order, phase=Phase.ENRICHING, enrichment=waiting), now)
    return move.then(lambda o: Move(o, (_question(o, waiting),)))


def _question(order: Order, enrichment: Enrichment) -> Outgoing:
    skus = tuple(dict.fromkeys(item.sku for item in order.ordered.items))
    return Outgoing(order.order_id, recommendation.Recommend(request_id=enrichment.request_id, skus=skus))


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


def recommendation_missing(order: Order, now: datetime, patience: RetryPolicy) -> Move:
    """It had its time. Unless it may have some more, the order goes on without."""
    known = order.enrichment
    if known is None:
        return Move(order)
    without = replace(order, enrichment=replace(known, recommend_by=None))
    if known.recommendations is not None:
        return Move(without)  # it has come; the order waits for the other answers
    attempt = known.recommend_attempt
    failure = Failure("recommend", attempt, "unknown", "There is no recommendation.")
    if patience.exhausted(attempt):
        return Move(without, (noted(order, failure),)).then(lambda o: go_on_if_known(o, now))
    again = replace(known, recommend_by=now + patience.delay(attempt + 1), recommend_attempt=attempt + 1)
    asked = (noted(order, failure, "orders.asked-again", Next(now)), _question(order, again))
    return Move(replace(order, enrichment=again), asked)


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
