"""The gate: what was published holds, and every way to break it is noticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.publish import __main__ as command
from contracts.publish import files
from contracts.publish.compat import breaks
from contracts.publish.schemas import Schema, message_schemas

START: Final = "orders.start-order.v1"
ADJUST: Final = "inventory.adjust-stock.v1"
RESOLVE: Final = "orders.resolve-attention.v1"
RESERVED: Final = "orders.stock-reserved.v1"
REJECTED: Final = "orders.command-rejected.v1"
SENDERS: Final = "published senders are refused"
READERS: Final = "published readers cannot read it"
OURSELVES: Final = "we cannot read what was written"

Change = Callable[[Any], None]


def data(schema: Schema) -> Any:
    return schema["properties"]["data"]


def set_in(*path: str, **values: Any) -> Change:
    """Set these keywords of the field at `path` below the data."""

    def change(schema: Any) -> None:
        node = data(schema)
        for part in path:
            node = node["items"] if part == "[]" else node["anyOf"][0] if part == "?" else node["properties"][part]
        node.update(values)

    return change


def without(field: str) -> Change:
    def change(schema: Any) -> None:
        del data(schema)["properties"][field]
        data(schema)["required"] = [name for name in data(schema)["required"] if name != field]

    return change


def optional(field: str) -> Change:
    def change(schema: Any) -> None:
        data(schema)["required"].remove(field)

    return change


def nullable(field: str) -> Change:
    def change(schema: Any) -> None:
        properties = data(schema)["properties"]
        properties[field] = {"anyOf": [properties[field], NULL]}

    return change


def adding(field: str, *, required: bool) -> Change:
    def change(schema: Any) -> None:
        data(schema)["properties"][field] = {"type": "string", "maxLength": 5}
        if required:
            data(schema)["required"].append(field)

    return change


def at_the_top(**values: Any) -> Change:
    return lambda schema: schema.update(values)


NULL: Final = {"type": "null"}

HOLDS: Final[list[tuple[str, str, Change]]] = [
    (START, "nothing changed", lambda _: None),
    (START, "a new optional field of a command", adding("gift", required=False)),
    (START, "a field that need not be sent any longer", optional("customer_id")),
    (START, "a wider limit", set_in("approval_timeout_s", maximum=10**9)),
    (START, "a wider limit below", set_in("items", "[]", "quantity", maximum=10**9)),
    (START, "more lines", set_in("items", maxItems=2_000)),
    (START, "null where it was a value", nullable("payment_method")),
    (START, "another text about it", at_the_top(description="Begin an order.")),
    (RESOLVE, "another value of a command's choice", set_in("resolution", enum=["retry", "settled", "given-up"])),
    (RESERVED, "a new optional field of an event", adding("warehouse", required=False)),
    (REJECTED, "a text about a field", set_in("message", description="For people.")),
]

BREAKS: Final[list[tuple[str, str, Change, str, str, str]]] = [
    (START, "a field removed", without("payment_method"), "data.payment_method", "not known any longer", SENDERS),
    (START, "a required field more", adding("gift", required=True), "data.gift", "is required", SENDERS),
    (
        START,
        "another type",
        set_in("customer_id", type="integer"),
        "data.customer_id",
        "string is not accepted",
        SENDERS,
    ),
    (START, "a narrower limit", set_in("approval_timeout_s", maximum=900), "data.approval_timeout_s", "900", SENDERS),
    (START, "a limit more", set_in("items", "[]", "quantity", multipleOf=2), "data.items[].quantity", "2", SENDERS),
    (START, "fewer lines", set_in("items", maxItems=10), "data.items", "maxItems 10", SENDERS),
    (START, "another pattern", set_in("customer_id", pattern="^[0-9]+$"), "data.customer_id", "pattern", SENDERS),
    (START, "null no longer", set_in("currency", anyOf=[{"type": "string"}]), "data.currency", "null", SENDERS),
    (START, "another default", set_in("approval_timeout_s", default=60), "data.approval_timeout_s", "default", SENDERS),
    (START, "another topic", at_the_top(**{"x-topic": "orders.other.v1"}), "(message)", "topic", SENDERS),
    (START, "a word it does not know", set_in("items", contains={}), "data.items", "cannot be compared", SENDERS),
    (START, "a limit beside a choice", set_in("currency", maxLength=2), "data.currency", "maxLength cannot", SENDERS),
    (ADJUST, "a value forbidden", set_in("delta", **{"not": {"const": 1}}), "data.delta", "not", SENDERS),
    (RESOLVE, "a choice less", set_in("resolution", enum=["retry"]), "data.resolution", "'settled'", SENDERS),
    (RESERVED, "a field removed", without("deadline"), "data.deadline", "required", READERS),
    (RESERVED, "a field that may be missing", optional("deadline"), "data.deadline", "may be missing", READERS),
    (RESERVED, "a new required field", adding("warehouse", required=True), "data.warehouse", "required", OURSELVES),
    (RESERVED, "a wider limit", set_in("total_minor", maximum=10**18), "data.total_minor", "maximum", READERS),
    (RESERVED, "a narrower limit", set_in("total_minor", maximum=10), "data.total_minor", "maximum", OURSELVES),
    (
        RESERVED,
        "an optional field gone below",
        lambda schema: data(schema)["properties"]["items"]["items"]["properties"].pop("unit_price_minor"),
        "data.items[].unit_price_minor",
        "not written any longer",
        READERS,
    ),
    (REJECTED, "a reason more", set_in("reason", enum=["invalid", "unheard-of"]), "data.reason", "unheard-of", READERS),
    (REJECTED, "a reason less", set_in("reason", enum=["invalid"]), "data.reason", "'conflict'", OURSELVES),
    (REJECTED, "any text for a reason", set_in("reason", enum=None), "data.reason", "only 'invalid'", READERS),
    (
        REJECTED,
        "null where none was",
        nullable("message"),
        "data.message",
        "null",
        READERS,
    ),
]


def changed(name: str, change: Change) -> tuple[dict[str, Schema], dict[str, Schema]]:
    old = {name: message_schemas()[name]}
    new = copy.deepcopy(old)
    change(new[name])
    _drop_none(new[name])
    return old, new


def _drop_none(node: Any) -> None:
    for key in [key for key, value in node.items() if value is None and key != "default"]:
        del node[key]
    for child in node.values():
        if isinstance(child, dict):
            _drop_none(child)


def test_every_published_message_holds() -> None:
    found = breaks(files.read_schemas(files.PUBLISHED), message_schemas())
    assert not found, "\n".join([*(str(one) for one in found), command._REMEDY])


def test_there_is_something_published() -> None:
    assert len(files.read_schemas(files.PUBLISHED)) >= 61


@pytest.mark.parametrize(("name", "case", "change"), HOLDS, ids=[f"{n}: {case}" for n, case, _ in HOLDS])
def test_a_compatible_change_passes(name: str, case: str, change: Change) -> None:
    assert [str(one) for one in breaks(*changed(name, change))] == []


@pytest.mark.parametrize(
    ("name", "case", "change", "path", "told", "harm"), BREAKS, ids=[f"{b[0]}: {b[1]}" for b in BREAKS]
)
def test_a_breaking_change_is_told_with_its_place_and_whom_it_harms(
    name: str, case: str, change: Change, path: str, told: str, harm: str
) -> None:
    found = breaks(*changed(name, change))
    assert any((one.type, one.path, one.harm) == (name, path, harm) and told in one.what for one in found), found


def test_a_type_that_is_gone_breaks_and_a_new_one_does_not() -> None:
    current = message_schemas()
    fewer = {name: schema for name, schema in current.items() if name != START}
    assert [(one.type, one.what) for one in breaks(current, fewer)] == [(START, "the published type is gone")]
    assert breaks(fewer, current) == []


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "ROOT", tmp_path)
        for name in ("SCHEMAS", "PUBLISHED"):
            monkeypatch.setattr(files, name, tmp_path / name)
        monkeypatch.setattr(files, "ASYNCAPI", tmp_path / "asyncapi.json")

    def test_it_writes_checks_and_releases(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["check"]) == command.NOT_CURRENT
        assert "make schemas" in capsys.readouterr().err
        assert command.main([]) == command.OK
        capsys.readouterr()
        assert command.main(["release", "--json"]) == command.OK
        assert "PUBLISHED/orders.start-order.v1.json" in json.loads(capsys.readouterr().out)["written"]
        assert command.main(["check"]) == command.OK

    def test_it_shows_what_is_not_current_and_takes_away_what_should_not_be_there(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command.main([])
        path = files.SCHEMAS / f"{START}.json"
        path.write_text(path.read_text().replace("2592000", "7"))
        orphan = files.SCHEMAS / "orders.forgotten.v1.json"
        orphan.write_text("{}\n")
        capsys.readouterr()
        assert command.main(["check"]) == command.NOT_CURRENT
        shown = capsys.readouterr().out
        assert '-          "maximum": 7,' in shown
        assert '+          "maximum": 2592000,' in shown
        assert command.main(["write"]) == command.OK
        assert not orphan.exists()
        assert files.stale(files.generated()) == {}

    def test_it_refuses_to_release_what_breaks_unless_it_is_told_to(self, capsys: pytest.CaptureFixture[str]) -> None:
        command.main([])
        command.main(["release"])
        path = files.PUBLISHED / f"{START}.json"
        path.write_text(path.read_text().replace("2592000", "9999999"))
        capsys.readouterr()
        assert command.main(["check", "--json"]) == command.BREAKING
        assert [one["path"] for one in json.loads(capsys.readouterr().out)["breaking"]] == ["data.approval_timeout_s"]
        assert command.main(["release"]) == command.BREAKING
        assert command.main(["release", "--breaking"]) == command.OK
        assert command.main(["check"]) == command.OK
