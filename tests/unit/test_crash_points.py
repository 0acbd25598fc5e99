"""A crash point does nothing until a test arms it, then what it was told, once; and the runtime passes every one of them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import messaging
from messaging import crash_points
from messaging.crash_points import POINTS, VARIABLE, CrashPointError, arm, reached
from messaging.errors import TransientStoreError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    arm("orders", 100, {VARIABLE: str(tmp_path)})
    yield tmp_path
    arm("orders", 100, {})


def hit(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "orders.hit").read_text())
    return found


def test_without_the_variable_nothing_is_armed() -> None:
    arm("orders", 100, {})
    assert crash_points._trap is None
    reached("after-commit")


def test_it_happens_the_nth_time_and_once_and_at_no_other_point(folder: Path) -> None:
    reached("after-commit")
    (folder / "orders.armed").write_text("after-commit exception 2 a")
    reached("before-commit")
    reached("after-commit")
    assert not (folder / "orders.hit").exists()
    with pytest.raises(CrashPointError, match="after-commit"):
        reached("after-commit")
    assert hit(folder)["line"] == "after-commit exception 2 a"
    assert not (folder / "orders.armed").exists()
    reached("after-commit")


def test_an_error_is_one_that_the_runtime_mends_and_a_freeze_tells_when_it_is_over(folder: Path) -> None:
    (folder / "orders.armed").write_text("after-load error 1 a")
    with pytest.raises(TransientStoreError):
        reached("after-load")
    (folder / "orders.armed").write_text("after-load freeze 1 b")
    began = time.monotonic()
    reached("after-load")
    assert time.monotonic() - began >= 0.15, "one and a half session timeouts"
    assert hit(folder)["woke"] is True


def test_a_kill_leaves_the_word_that_it_was_and_no_process(tmp_path: Path) -> None:
    (tmp_path / "orders.armed").write_text("after-publish kill 1 a")
    program = "from messaging.crash_points import arm, reached; arm('orders', 100); reached('after-publish')"
    done = subprocess.run([sys.executable, "-c", program], env={VARIABLE: str(tmp_path)}, check=False)
    assert done.returncode == -9
    assert hit(tmp_path)["woke"] is False


def test_the_runtime_passes_every_point_at_one_place() -> None:
    calls: Counter[str] = Counter()
    for path in Path(messaging.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reached":
                assert isinstance(node.args[0], ast.Constant)
                calls[str(node.args[0].value)] += 1
    assert calls == dict.fromkeys(POINTS, 1)
