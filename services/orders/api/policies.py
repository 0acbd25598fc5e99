"""`GET /policies`: what an order does about what does not work, as it is in effect."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aiohttp import web

from messaging.http import json_response, refuse_unknown
from services.orders.domain.policies import DEFAULTS, IN_THE_END, TRIED_AFTER, Policies, PolicyName, RetryPolicy
from services.orders.policy_record import ReadPolicies


def policy_routes(read: ReadPolicies) -> list[web.RouteDef]:
    """The route over the table that `read` answers."""

    async def show(request: web.Request) -> web.Response:
        refuse_unknown(request, ())
        return json_response({"items": table(await read()), "next": None})

    return [web.get("/policies", show)]


def table(policies: Policies) -> list[dict[str, Any]]:
    """The rows. `overridden` holds the defaults of the fields that a setting has changed."""
    return [_row(name, policies.named(name), DEFAULTS.named(name)) for name in TRIED_AFTER]


def _row(name: PolicyName, policy: RetryPolicy, default: RetryPolicy) -> dict[str, Any]:
    is_, was = _plain(policy), _plain(default)
    return {
        "step": name,
        "tried_again_after": TRIED_AFTER[name],
        **is_,
        "in_the_end": IN_THE_END[name],
        "overridden": {field: was[field] for field in was if was[field] != is_[field]},
    }


def _plain(policy: RetryPolicy) -> dict[str, Any]:
    found = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {**found, "non_retryable": sorted(policy.non_retryable)}
