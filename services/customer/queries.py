"""What the customer service answers over HTTP."""

from __future__ import annotations

from typing import Final

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response
from services.customer.tiers import tier_of

CUSTOMER: Final = """
SELECT customer_id, name, email, registered_at, updated_at, erased_at, coalesce(l.completed_orders, 0) AS completed_orders
FROM customer LEFT JOIN loyalty l USING (customer_id) WHERE customer_id = $1
"""


def routes(pool: asyncpg.Pool) -> list[web.RouteDef]:
    """`GET /customers/{customer_id}`; an erased customer has neither name nor address."""

    async def customer(request: web.Request) -> web.Response:
        customer_id = request.match_info["customer_id"]
        row = await pool.fetchrow(CUSTOMER, customer_id) if is_id(customer_id) else None
        if row is None:
            raise Problem(404, "No such customer", "No customer is registered under this id.")
        return json_response({**row, "tier": tier_of(row["completed_orders"])})

    return [web.get("/customers/{customer_id}", customer)]
