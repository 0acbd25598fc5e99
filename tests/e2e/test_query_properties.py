"""Whatever is asked of the queries, no server fails: schemathesis asks, within the parameters and beyond them."""

from __future__ import annotations

from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, settings

from e2e.stack import Place

#: What can be asked, of whom, and with which parameters. Anything may stand in them.
QUERIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "/orders": (
        "orders-api",
        ("status", "customer", "waiting_for", "reason", "sku", "id_prefix", "created_before", "sort", "limit", "after"),
    ),
    "/orders/{id}": ("orders-api", ()),
    "/orders/{id}/items": ("orders-api", ()),
    "/orders/{id}/history": ("orders-api", ("limit", "after")),
    "/orders/{id}/tape": ("orders-api", ()),
    "/policies": ("orders-api", ()),
    "/skus": ("inventory", ("limit", "after")),
    "/skus/{id}": ("inventory", ()),
    "/reservations": ("inventory", ("sku", "order_id", "state", "limit", "after")),
    "/movements": ("inventory", ("order_id",)),
    "/charges": ("payment", ("order_id", "limit", "after")),
    "/gateway/entries": ("payment", ("order_id", "limit", "after")),
    "/customers/{id}": ("customer", ()),
    "/mails": ("notification", ("order_id", "status", "limit")),
    "/pairs/{id}": ("recommendation", ()),
    "/lanes": ("orders", ("key", "limit", "after")),
    "/progress": ("orders", ()),
}
_TEXT: Final = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_ANYTHING: Final = {"type": ["object", "array", "string"]}
_COMMAND: Final = {
    "type": "object",
    "properties": {"type": {}, "data": {}, "id": {}, "source": {}},
    "required": ["type", "data"],
    "additionalProperties": False,
}


def _operation(path: str, names: tuple[str, ...]) -> dict[str, Any]:
    parameters = [{"name": name, "in": "query", "required": False, "schema": _TEXT} for name in names]
    if "{id}" in path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}})
    return {"get": {"parameters": parameters, "responses": {"200": {"description": "the answer"}}}}


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "queries", "version": "1"},
    "paths": {
        **{path: _operation(path, names) for path, (_, names) in QUERIES.items()},
        "/orders/{id}/plan": {
            "post": {
                **_operation("{id}", ())["get"],
                "requestBody": {"content": {"application/json": {"schema": {"anyOf": [_ANYTHING, _COMMAND]}}}},
            }
        },
    },
}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_query_fails_the_server(case: Any, place: Place) -> None:
    service = QUERIES.get(case.path, ("orders-api", ()))[0]
    response = case.call(base_url=place.urls[service])
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert "application/problem+json" in str(response.headers["content-type"])
