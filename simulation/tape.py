"""An order's tape from memory: the facts that the orders API asks of everybody's database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.inventory.movements import movements
from services.orders.tape import Facts, assemble
from simulation import views
from simulation.parts import Parts


def tape_of(
    parts: Parts, order: dict[str, Any], history: Sequence[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """As the items of `GET /orders/{id}/tape` read; `order` and `history` as the other queries tell them."""
    order_id = order["order_id"]
    told = parts.orders.verdicts.get(order_id, {}).values()
    facts = Facts(
        order=order,
        history=history,
        commands=[
            {
                "source": v.command.source,
                "id": v.command.id,
                "type": v.command.type,
                "accepted": v.accepted,
                "data": json.loads(parts.orders.asked.get((order_id, v.command.source, v.command.id), "null")),
            }
            for v in told
        ],
        movements=movements(made for (key, _), made in parts.inventory.reservations.items() if key == order_id),
        entries=[entry.as_json() for entry in parts.ledger.entries_now(order_id, now)],
        charges=[views.charge_view(charge) for charge in parts.charges.of_order(order_id)],
        mails=[asdict(mail) for mail in parts.notification.mails.values() if mail.order_id == order_id],
    )
    return assemble(facts, now)
