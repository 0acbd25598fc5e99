"""Each setting stands in the documents as the code has it; a bad one is refused at the start, by its name and what it may be."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from audit.watcher import __main__ as watcher
from messaging.app import run, run_queries
from messaging.errors import SettingsError
from messaging.logs import load_log_settings
from messaging.otlp import load_trace_settings
from messaging.setting import OptionalText, Secret, Setting, Text, database_url, web_url
from messaging.settings import load_settings
from provision import __main__ as provision
from provision.databases import database_urls
from provision.topic_settings import load_topic_settings
from services.console import app as console
from services.console.settings import load_settings as load_console
from services.customer import app as customer
from services.inventory import app as inventory
from services.notification import app as notification
from services.notification.settings import load_mail_settings
from services.orders import app as orders
from services.orders.api import app as orders_api
from services.orders.api.participants import addresses
from services.orders.domain.policies import TRIED_AFTER
from services.orders.settings import FIELDS, setting_name
from services.payment import app as payment
from services.recommendation import app as recommendation
from services.recommendation.learner import process as learner

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy"


def _table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_table", FOLDER / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE: Final[Any] = _table()
#: How each process begins; each returns its exit code.
MAINS: Final[Mapping[str, Callable[[], int]]] = {
    "orders": lambda: run("orders", orders.build),
    "orders-api": lambda: run_queries("orders-api", "orders", orders_api.build),
    "inventory": lambda: run("inventory", inventory.build),
    "payment": lambda: run("payment", payment.build),
    "customer": lambda: run("customer", customer.build),
    "notification": lambda: run("notification", notification.build),
    "recommendation": lambda: run("recommendation", recommendation.build),
    "recommendation-learner": learner.main,
    "console": console.main,
    "watcher": watcher.main,
    "provision": provision.main,
}
EVERY: Final = [(process, setting) for process, settings in TABLE.PROCESSES.items() for setting in settings]
#: Whatever stands there is one.
FREE: Final = (OptionalText, Secret)


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """A setting that is not refused has the process start, and wait for a broker for ever."""

    def over(*_: object) -> None:
        raise AssertionError("it was not refused: the process has started")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_the_table_in_the_document_is_current() -> None:
    document = TABLE.DOCUMENT.read_text()
    assert TABLE.written(document) == document, "python deploy/settings_table.py"


def bad(setting: Setting) -> str:
    return " " if isinstance(setting, Text) else "no-good"


@pytest.mark.parametrize(
    ("process", "setting"),
    [pytest.param(process, one, id=f"{process}-{one.name}") for process, one in EVERY if not isinstance(one, FREE)],
)
def test_a_bad_setting_ends_the_process_at_its_start_with_2_its_name_and_what_it_may_be(
    process: str, setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [process])
    monkeypatch.setenv(setting.name, bad(setting))
    assert MAINS[process]() == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"error: {setting.name} ")
    assert setting.allowed in told


@pytest.mark.parametrize("name", [setting_name(step, field) for step in TRIED_AFTER for field in FIELDS])
def test_a_bad_retry_policy_ends_the_orchestrator_at_its_start(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "no-good")
    assert MAINS["orders"]() == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {name} ")


class Watched(dict[str, str]):
    """An environment that knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    ("process", "loaders"),
    [
        ("orders", (lambda env: load_settings("orders", env=env), load_log_settings, load_trace_settings)),
        ("orders-api", (lambda env: load_settings("orders-api", "orders", env), load_log_settings, addresses)),
        (
            "inventory",
            (
                lambda env: load_settings("inventory", env=env),
                load_log_settings,
                load_trace_settings,
                inventory.DEFAULT_CURRENCY.read,
            ),
        ),
        (
            "notification",
            (
                lambda env: load_settings("notification", env=env),
                load_log_settings,
                load_trace_settings,
                load_mail_settings,
            ),
        ),
        ("customer", (lambda env: load_settings("customer", env=env), load_log_settings, load_trace_settings)),
        ("watcher", (watcher.load_settings, load_log_settings, watcher.load_address)),
        ("provision", (provision.load_settings, load_topic_settings, database_urls)),
    ],
)
def test_what_a_process_asks_its_environment_for_stands_in_the_table(
    process: str, loaders: tuple[Callable[[Watched], object], ...]
) -> None:
    env = Watched()
    for load in loaders:
        load(env)
    assert without_files(env.asked) == {setting.name for setting in TABLE.PROCESSES[process]}


def without_files(asked: set[str]) -> set[str]:
    """A secret, and an address that may hold one, may stand in a file."""
    return {name for name in asked if not (name.endswith("_FILE") and name.removesuffix("_FILE") in asked)}


def test_the_console_asks_for_what_stands_in_the_table_and_for_no_services_address_twice() -> None:
    env = Watched()
    load_console(env)
    load_log_settings(env)
    # Where a process is not told apart, its queries' address is asked for too.
    fallbacks = {f"{name.upper()}_API_URL" for name in ("customer", "recommendation", "notification")}
    assert without_files(env.asked) - fallbacks == {setting.name for setting in TABLE.PROCESSES["console"]}


@pytest.mark.parametrize(
    "value", ["postgres-//nora:kanarienvogel@host/orders", "http://nora:kanarienvogel@host:99999999/x"]
)
def test_an_address_that_is_refused_is_not_repeated(value: str) -> None:
    for setting in (database_url("orders"), web_url("ORDERS_API_URL", 8001, "")):
        with pytest.raises(SettingsError) as refused:
            setting.read({setting.name: value})
        assert "kanarienvogel" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    ["postgresql:///orders", "postgresql://orders@/orders?host=/tmp/s", "postgres://a:b@h1:5432,h2:5433/orders"],
)
def test_every_way_to_write_a_databases_address_is_taken(value: str) -> None:
    assert database_url("orders").read({"ORDERS_DATABASE_URL": value}) == value
