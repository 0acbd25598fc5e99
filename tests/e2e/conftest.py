"""One stack for all scenarios; what ran is told at the head and at the end."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.compose import ComposeStack, images_there
from e2e.console_desk import PASSWORD, Browser, new_browser
from e2e.shop import Shop
from e2e.stack import Place, Stack, place_of, uses_running_stack

_HERE = Path(__file__).parent
_told: list[str] = []
#: Why scenarios do not run in containers, and how many.
_elsewhere: Counter[str] = Counter()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes tens of seconds (crashes under load)")
    config.addinivalue_line(
        "markers",
        "not_in_containers(reason): what it is about is processes of this machine, and so it runs on them everywhere",
    )


def pytest_report_header() -> str:
    if uses_running_stack():
        return f"e2e: the running stack at {place_of(os.environ).bootstrap} (E2E_STACK=running)"
    if uses_containers():
        return "e2e: stacks in containers (E2E_STACK=devstack|compose|running chooses)"
    return "e2e: stacks of their own, made by devstack (E2E_STACK=compose|running chooses; E2E_KEEP=1 keeps them)"


@cache
def uses_containers() -> bool:
    """Whether the scenarios run in containers: where `E2E_STACK` says so; by default where Docker answers and has the images."""
    chosen = os.environ.get("E2E_STACK") or None
    if chosen not in (None, "compose", "devstack", "running"):
        raise pytest.UsageError(f"E2E_STACK must be compose, devstack or running, not {chosen!r}.")
    return images_there() if chosen is None else chosen == "compose"


def make_stack(name: str, **settings: str) -> Stack | ComposeStack:
    """A stack of our own, in containers or as local processes."""
    return ComposeStack(name, **settings) if uses_containers() else Stack(name, **settings)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(f"e2e: {line}")
    for reason, count in _elsewhere.items():
        terminalreporter.write_line(f"e2e: {count} on local processes, not in containers: {reason}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("not_in_containers")
    if marker is not None and uses_containers():
        _elsewhere[marker.args[0]] += 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all: they share the client. What crashes the stack comes last."""
    ours = [item for item in items if _HERE in item.path.parents]
    for item in ours:
        if isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    items.sort(key=lambda item: _HERE in item.path.parents and item.get_closest_marker("slow") is not None)


def run_stack(stack: Stack | ComposeStack, request: pytest.FixtureRequest) -> Iterator[Place]:
    """The stack for as long as a fixture lives. Where a test failed, its data stays to be looked at."""
    failed_before = request.session.testsfailed
    try:
        yield stack.up()
    finally:
        _told.append(stack.about or f"the stack in {stack.home} did not come up")
        if not os.environ.get("E2E_KEEP"):
            stack.down(wipe=bool(stack.about) and request.session.testsfailed == failed_before)


@pytest.fixture(scope="session")
def stack() -> Stack | ComposeStack | None:
    """What can be done to the stack; None where it is not ours to kill."""
    return None if uses_running_stack() else make_stack("e2e", PAYMENT_FAILURE_RATE="0")


@pytest.fixture(scope="session")
def place(stack: Stack | ComposeStack | None, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where the stack is."""
    if stack is None:
        found = place_of(os.environ)
        _told.append(f"used the running stack at {found.bootstrap}")
        yield found
    else:
        yield from run_stack(stack, request)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(place: Place) -> AsyncIterator[Shop]:
    """The client that all scenarios share."""
    async with Shop(place) as client:
        yield client


@pytest.fixture(scope="session")
def one_time(stack: Stack | ComposeStack | None) -> str:
    """What the console printed at its first start; in containers, where that would stay in a log, what it prints when asked."""
    if stack is None:
        pytest.skip("a running stack's one-time password is not ours")
    printed = stack.log("console")
    found = re.search(r"one-time password (\S+)", printed)
    if isinstance(stack, ComposeStack):
        assert found is None
        assert "python -m services.console password admin" in printed
        return stack.run_in("console", "python", "-m", "services.console", "password", "admin").strip()
    assert found, printed
    return found[1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def admin(place: Place, one_time: str) -> AsyncIterator[Browser]:
    """The console's first account, logged in; all scenarios share it, for the one-time password is for one time."""
    browser = new_browser(place)
    try:
        await browser.log_in("admin", one_time)
        await browser.choose(one_time, PASSWORD)
        assert "Log out" in (await browser.log_in("admin", PASSWORD))[1]
        yield browser
    finally:
        await browser._session.close()
