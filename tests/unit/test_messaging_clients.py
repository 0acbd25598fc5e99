"""No Kafka client is made but in one place, and there its settings are the ones that lose nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from messaging.clients import consumer_options, make_group_consumer, make_producer, make_reader, producer_options

ROOT = Path(__file__).parents[2]
CODE = ("contracts", "messaging", "services", "orderctl", "devstack", "simulation", "audit", "benchmarks", "tests")
CLIENTS = {"AIOKafkaProducer", "AIOKafkaConsumer"}

#: Who may make a client elsewhere, and why. Each of them says its safe settings itself, which is tested here.
EXCEPTIONS = {
    "tests/integration/access_fleet.py": "a client of each principal, some of which have to be refused",
    "tests/integration/test_devstack_backends.py": "devstack is tested without the code that runs on it",
    "tests/integration/test_messaging_foreign.py": "a foreign client that compresses",
    "tests/integration/tally_real.py": "a foreign client that writes in transactions",
    "tests/e2e/shop.py": "a foreign client, which knows the public contract alone",
    "tests/e2e/journal.py": "a foreign client, which knows the public contract alone",
}


def sources() -> Iterator[Path]:
    """The files that name a client: in no other one can it be made, or get another name."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(client in path.read_text() for client in CLIENTS):
                yield path


def constructions(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
            if named in CLIENTS:
                yield node


def imported_as(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (f"{alias.name} as {alias.asname}" for alias in node.names if alias.asname)


def test_clients_are_made_in_one_place_only() -> None:
    found = {str(path.relative_to(ROOT)) for path in sources() if any(constructions(path))}
    assert found == {"messaging/clients.py", *EXCEPTIONS}


def test_no_client_hides_behind_another_name() -> None:
    renamed = [f"{path}: {name}" for path in sources() for name in imported_as(path) if name.split()[0] in CLIENTS]
    assert renamed == []


@pytest.mark.parametrize("path", EXCEPTIONS)
def test_an_exception_says_its_safe_settings_itself(path: str) -> None:
    for call in constructions(ROOT / path):
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if "enable_idempotence" in said:
            assert (said["acks"], said["enable_idempotence"]) == ("'all'", "True")
        else:
            assert said["enable_auto_commit"] == "False"
            assert said["auto_offset_reset"] in ("'earliest'", "'none'")


def test_a_producer_waits_for_all_replicas_and_writes_each_record_once() -> None:
    options = producer_options("localhost:1", "me")
    assert (options["acks"], options["enable_idempotence"]) == ("all", True)


def test_a_consumer_commits_nothing_by_itself_and_skips_nothing() -> None:
    options = consumer_options("localhost:1", "me")
    assert (options["enable_auto_commit"], options["auto_offset_reset"]) == (False, "earliest")


def test_every_way_of_making_a_client_uses_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    def client(*topics: str, **options: object) -> SimpleNamespace:
        made.append(options)
        return SimpleNamespace(_client=SimpleNamespace(send=None))

    for name in CLIENTS:
        monkeypatch.setattr(f"messaging.clients.{name}", client)
    make_producer("localhost:1", "me")
    make_reader("localhost:1", "me", ["a"])
    make_group_consumer("localhost:1", "me", "group", None, 6_000)
    producer, reader, member = made
    assert producer == producer_options("localhost:1", "me")
    assert reader == consumer_options("localhost:1", "me")
    patient = {"fetch_max_wait_ms": 500}  # the one setting in which a member of a group differs
    assert (consumer_options("localhost:1", "me") | patient).items() <= member.items()
