"""What a log line says, in both formats, and what never gets into one."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from log_lines import kept
from pydantic import BaseModel

from messaging import logs
from messaging.errors import SettingsError, TransientStoreError
from messaging.log_keys import ALWAYS, CONTEXT, FACTS, KEYS
from messaging.safe_text import LONGEST, safe_text

CANARY: Final = "canary-4111"
ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("messaging", "services", "orderctl", "devstack", "simulation", "audit", "benchmarks", "contracts")
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with kept("json", "test-logs") as found:
        yield lambda: [json.loads(line) for line in found]


@pytest.fixture
def lenient() -> Iterator[None]:
    logs.refuse_unknown_keys(False)
    yield
    logs.refuse_unknown_keys()


def test_a_line_says_when_who_what_and_the_facts(lines: Lines) -> None:
    logs.get_logger("test-logs").warning("dead-letter", reason="invalid", topic="orders.commands.v1", offset=7)
    (line,) = lines()
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "dead-letter",
        "logger": "test-logs",
        "service": "orders",
        "identity": "order-worker-1",
        "reason": "invalid",
        "topic": "orders.commands.v1",
        "offset": 7,
    }


def test_the_readable_format_is_one_line_whatever_a_value_holds() -> None:
    with kept("console", "test-logs") as found:
        logs.get_logger("test-logs").warning("dead-letter", reason="a\nb\x1b[31mc\u202e", key="k")
    (line,) = found
    assert "\n" not in line
    assert "\x1b" not in line
    assert "dead-letter" in line
    assert "identity=order-worker-1" in line


@pytest.mark.parametrize("facts", [{"payload": 1}, {"reason": {"name": "x"}}, {"reason": b"x"}, {"error": object()}])
def test_what_the_vocabulary_does_not_have_is_refused_in_tests(lines: Lines, facts: dict[str, Any]) -> None:
    with pytest.raises(logs.UnknownLogKeyError):
        logs.get_logger("test-logs").warning("anything", **facts)
    assert lines() == []


@pytest.mark.usefixtures("lenient")
def test_what_the_vocabulary_does_not_have_is_dropped_and_counted_in_production(lines: Lines) -> None:
    before = logs.DROPPED._value.get()
    logs.get_logger("test-logs").warning("anything", payload=CANARY, reason={"name": CANARY}, topic="t")
    (line,) = lines()
    assert CANARY not in json.dumps(line)
    assert (line["event"], line["topic"]) == ("anything", "t")
    assert logs.DROPPED._value.get() == before + 2


class Customer(BaseModel):
    name: str
    tier: int


def _errors() -> dict[str, BaseException]:
    found: dict[str, BaseException] = {
        "a bad parameter": asyncpg.DataError(f"invalid input for query argument $1: '{CANARY}'"),
        "a broken constraint": asyncpg.UniqueViolationError(f"duplicate key ({CANARY})"),
        "a bug": KeyError(CANARY),
        "a group": ExceptionGroup(CANARY, [ValueError(CANARY)]),
        "a bad address": asyncpg.exceptions.ClientConfigurationError(f"invalid DSN: postgresql://u:{CANARY}@h/d"),
    }
    try:
        Customer.model_validate({"name": CANARY, "tier": CANARY})
    except ValueError as error:
        found["a model"] = error
    return found


@pytest.mark.parametrize("case", _errors())
def test_an_error_is_told_without_the_data_in_its_words(lines: Lines, case: str) -> None:
    error = _errors()[case]
    log = logs.get_logger("test-logs")
    log.warning("something", error=error)
    try:
        _fail_because_of(error)
    except RuntimeError:
        log.exception("decision-failed")
        logging.getLogger("test-logs").exception("it failed: %s, %r", error, {"data": CANARY})
    first, second, third = lines()
    assert CANARY not in json.dumps([first, second, third])
    assert type(error).__name__ in first["error"]
    for line in (second, third):
        assert "RuntimeError" in line["exception"]
        assert f"caused by {type(error).__name__}" in line["exception"]
        assert "test_logs.py" in line["exception"]


def _fail_because_of(error: BaseException) -> None:
    raise RuntimeError(CANARY) from error


def test_what_is_about_the_machinery_is_told_in_its_own_words() -> None:
    assert safe_text(ConnectionRefusedError(111, "Connection refused")).endswith("Connection refused")
    assert "no broker" in safe_text(KafkaConnectionError("no broker"))
    assert safe_text(TransientStoreError("it is away")) == "TransientStoreError: it is away"
    closed = asyncpg.InterfaceError("connection is closed")
    assert safe_text(closed) == "InterfaceError: connection is closed"
    locked = asyncpg.exceptions.LockNotAvailableError("canceling statement due to lock timeout")
    assert safe_text(locked) == "LockNotAvailableError: canceling statement due to lock timeout (SQLSTATE 55P03)"
    assert safe_text(TimeoutError()) == "TimeoutError: no answer in time"
    assert len(safe_text(OSError("x" * 1000))) < LONGEST + 20


def test_the_details_of_a_database_error_are_left_out() -> None:
    error = asyncpg.exceptions.SerializationError("could not serialize access")
    error.detail = f"Key (name)=({CANARY}) already exists."
    assert CANARY in str(error)
    assert CANARY not in safe_text(error)


def test_a_librarys_line_keeps_its_facts_and_loses_its_objects(lines: Lines) -> None:
    library = logging.getLogger("test-logs")
    library.warning("%s:%d of %s failed: %s", "orders.commands.v1", 3, Customer(name=CANARY, tier=1), "a b c@d.example")
    library.warning("%(topic)s %(what)s", {"topic": "t", "what": CANARY.encode()})
    library.error(f"Task exception was never retrieved\nfuture: <Task exception={CANARY}>")
    events = [line["event"] for line in lines()]
    assert events == [
        "orders.commands.v1:3 of <Customer> failed: <str>",
        "t <bytes>",
        "Task exception was never retrieved",
    ]


async def test_context_goes_with_a_task_and_those_that_it_starts_and_no_other(lines: Lines) -> None:
    log = logs.get_logger("test-logs")

    async def work(depth: int) -> None:
        log.info("working")
        if depth:
            await asyncio.create_task(work(depth - 1))

    await asyncio.create_task(work(1), context=logs.context(service="tally", partition=3))
    log.info("outside")
    told = [(line["event"], line["service"], line.get("partition")) for line in lines()]
    assert told == [("working", "tally", 3), ("working", "tally", 3), ("outside", "orders", None)]


@pytest.mark.parametrize("env", [{"LOG_FORMAT": "xml"}, {"LOG_LEVEL": "LOUD"}, {"LOG_LEVEL": ""}])
def test_a_wrong_setting_is_refused_by_its_name(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(env))):
        logs.load_log_settings(env)


def test_the_settings_are_read() -> None:
    assert logs.load_log_settings({}) == logs.LogSettings("console", "INFO")
    assert logs.load_log_settings({"LOG_FORMAT": "JSON", "LOG_LEVEL": "debug"}) == logs.LogSettings("json", "DEBUG")


CRASHING: Final = f"""
from messaging import logs
logs.configure(logs.LogSettings("json", "WARNING"), "orders", "order-worker-1")
logs.get_logger("a").info("not-told")
logs.get_logger("a").warning("told")
raise ValueError("{CANARY}")
"""


def test_a_process_that_crashes_says_so_in_its_log_without_the_data() -> None:
    done = subprocess.run([sys.executable, "-c", CRASHING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told, crashed = [json.loads(line) for line in done.stderr.splitlines()]
    assert told["event"] == "told"
    assert (crashed["event"], crashed["level"]) == ("crashed", "critical")
    assert CANARY not in done.stdout + done.stderr


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "log." in text else ():
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                    and node.func.attr in LEVELS
                ):
                    yield path, node


def test_every_log_call_has_a_fixed_name_and_keys_of_the_vocabulary() -> None:
    found = list(_calls())
    assert len(found) > 25
    for path, call in found:
        place = f"{path.relative_to(ROOT)}:{call.lineno}"
        assert len(call.args) == 1, place
        assert isinstance(call.args[0], ast.Constant), place
        event = call.args[0].value
        assert isinstance(event, str), place
        assert event.replace("-", "").isalpha(), f"{place}: an event is named in-words-like-these"
        assert event == event.lower(), place
        unknown = {word.arg for word in call.keywords if word.arg is not None} - KEYS - {"exc_info"}
        assert not unknown, f"{place}: {unknown} not in messaging/log_keys.py"


def test_every_word_of_the_vocabulary_is_used_and_documented() -> None:
    used = {word.arg for _, call in _calls() for word in call.keywords}
    assert set(FACTS) <= used
    operations = (ROOT / "docs" / "operations.md").read_text()
    for name, meaning in {**ALWAYS, **CONTEXT, **FACTS}.items():
        assert f"| `{name}` | {meaning} |" in operations, f"docs/operations.md lacks: | `{name}` | {meaning} |"


def test_nobody_logs_past_the_one_place() -> None:
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "logs.py":
                text = path.read_text()
                assert "logging.getLogger" not in text, path
                assert "logging.basicConfig" not in text, path
