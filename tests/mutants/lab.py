"""Runs the tests against mutants, each in a process of its own that is forked from one in which everything is loaded."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from hypothesis import Phase, settings

from mutants.loading import Code
from mutants.mutant import ROOT, Mutant

Status = Literal["killed", "survived", "broken"]
DEADLINE_S: Final = 120.0
_ARGUMENTS: Final = (
    f"--rootdir={ROOT}",
    "-q",
    "-x",
    "-s",
    "--tb=native",
    "--no-header",
    "--hypothesis-profile=mutants",
    "-pno:cacheprovider",
)
#: Chance is the same for all, what is found is neither shrunk nor remembered.
settings.register_profile(
    "mutants", derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `killer`: the test that failed; `seconds`: from the fork until it had. `broken`: it was not the
    product's tests that ended the run.
    `cpu_seconds`: of processor time in that, for machines that do other things too."""

    name: str
    status: Status
    killer: str
    told: str
    seconds: float
    cpu_seconds: float


class _Failures:
    """What fails, as a plugin of pytest: looked at as it happens, for pytest takes longer to describe a failure than to find it."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.told = ""
        self.at = self.cpu = 0.0
        self.passed = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        expected = isinstance(call.excinfo and call.excinfo.value, pytest.skip.Exception | pytest.xfail.Exception)
        if call.excinfo is None or expected or item.get_closest_marker("xfail") is not None:
            return
        if not self.failed:
            self.at, self.cpu = time.monotonic(), time.process_time()
            self.told = call.excinfo.exconly().split("\n")[0][:200]
        self.failed.append(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed


class Lab:
    """The process in which everything is loaded. `log` gets what the tests of the last mutant printed."""

    def __init__(self) -> None:
        sys.dont_write_bytecode = (
            False  # what is loaded for each mutant must not be compiled for each, whatever the environment says
        )
        self._code = Code()
        self.log = Path(tempfile.mkdtemp(prefix="mutants-")) / "last.log"
        # A first session loads pytest's plugins and what all tests share.
        with self.log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            _run(["tests/unit/test_suite.py"])
        gc.collect()
        gc.freeze()

    def try_to_kill(self, mutant: Mutant, killers: Sequence[str]) -> Result:
        """Ask one killer after another, until one finds the bug."""
        mutant.source()  # a rotten patch is told here, loudly
        began = time.monotonic()
        told = self._in_a_fork(lambda: self._attack(mutant, killers))
        seconds = (told.get("at") or time.monotonic()) - began
        cpu_s = round(told.get("cpu", 0.0), 3)
        return Result(mutant.name, told["status"], told["killer"], told["told"], round(seconds, 3), cpu_s)

    def fail_anyway(self, tests: Sequence[str], modules: Sequence[str]) -> list[str]:
        """Those of the tests that fail although these modules are only loaded anew, as they are: what they found was no mutant."""
        told = self._in_a_fork(lambda: self._control(tests, modules))
        known: list[str] = told.get("failed", [])
        return known if told.get("passed", 0) + len(known) >= len(tests) else list(tests)

    def _control(self, tests: Sequence[str], modules: Sequence[str]) -> dict[str, Any]:
        self._code.load_anew(modules)
        return _run(tests, stop=False)

    def _attack(self, mutant: Mutant, killers: Sequence[str]) -> dict[str, Any]:
        self._code.change(mutant)
        for killer in killers:
            ended = _run(killer.split())
            if ended["failed"]:
                return {**ended, "status": "killed", "killer": ended["failed"][0]}
            if ended["code"] != pytest.ExitCode.OK:
                return {"status": "broken", "killer": killer, "told": f"pytest ended with {ended['code']}"}
        return {"status": "survived", "killer": "", "told": ""}

    def _in_a_fork(self, work: Any) -> dict[str, Any]:
        reader, writer = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_quiet(self.log)
            try:
                told = work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the other side has to hear of it
                told = {"status": "broken", "killer": "", "told": repr(error)}
            os.write(writer, json.dumps(told).encode())
            os._exit(0)
        os.close(writer)
        try:
            ready, _, _ = select.select([reader], [], [], DEADLINE_S)
            told_late = {"status": "broken", "killer": "", "told": f"no end within {DEADLINE_S:.0f} s"}
            found: dict[str, Any] = json.loads(_read(reader)) if ready else told_late
        finally:
            os.close(reader)
            if not _ended(child):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        return found


def _ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


def _read(reader: int) -> bytes:
    found = b""
    while chunk := os.read(reader, 65_536):
        found += chunk
    return found or b'{"status": "broken", "killer": "", "told": "it died without a word"}'


def _be_quiet(log: Path) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _run(tests: Sequence[str], stop: bool = True) -> dict[str, Any]:
    failures = _Failures()
    arguments = [one for one in _ARGUMENTS if stop or one != "-x"]
    code = pytest.main([*arguments, *tests], plugins=[failures])
    found = {"told": failures.told, "passed": failures.passed, "at": failures.at, "cpu": failures.cpu}
    return {"code": int(code), "failed": failures.failed, **found}
