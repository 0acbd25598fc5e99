"""The smallest workflow: it greets, and is complete. docs/tutorial-workflow.md builds it line by line."""

from __future__ import annotations

from contracts.orders import Greeted, StartGreet
from messaging.decision import Outgoing
from services.orders.domain.evolve import replace
from services.orders.domain.move import Move, Situation, accept
from services.orders.domain.state import Phase


def greet(situation: Situation) -> Move:
    """Say hello. There is nothing to wait for, so the workflow ends where it begins."""
    data = situation.message.data
    assert isinstance(data, StartGreet)
    order = replace(situation.order, workflow="greet", workflow_version=1, phase=Phase.COMPLETED, request=data)
    greeted = Outgoing(order.order_id, Greeted(greeting=f"Hello, {data.user_id}!"))
    return accept(order, situation.command).then(lambda o: Move(o, (greeted,)))
