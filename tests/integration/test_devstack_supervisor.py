"""The supervisor and what it keeps running, with small stand-in commands: real processes, real signals, real ports."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from devstack.errors import DevstackError, NotReadyError, PortTakenError
from devstack.keeper import BackOff, Folders, Keeper
from devstack.ports import free_offset
from devstack.processes import Plan, ProcessSpec, write_private
from devstack.records import Record, marked, recorded_process, runs
from devstack.stack import Stack
from devstack.supervisor import RECORD

DEADLINE_S = 60.0


def eventually(fact: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for the fact."""
    deadline = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    found = Stack(home=tmp_path / "home", offset=free_offset())
    yield found
    found.down()
    assert list(marked(found.settings.home)) == []


@pytest.fixture
def web(tmp_path: Path) -> ProcessSpec:
    """A service: it answers /readyz."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "readyz").write_text("yes")
    address = f"http://127.0.0.1:{free_port()}"
    argv = (sys.executable, "-m", "http.server", address.rsplit(":", 1)[1], "--bind", "127.0.0.1", "-d", str(folder))
    return ProcessSpec(name="web", argv=argv, address=address, probe="http", target=f"{address}/readyz")


def failing(name: str = "broken") -> ProcessSpec:
    address = f"127.0.0.1:{free_port()}"
    argv = (sys.executable, "-c", "raise SystemExit('the reason why')")
    return ProcessSpec(name=name, argv=argv, address=address, probe="tcp", target=address)


def pid_of(stack: Stack, name: str) -> int | None:
    return next((process.pid for process in stack.status().processes if process.name == name), None)


def test_a_started_stack_is_ready_and_its_end_leaves_no_process(stack: Stack, web: ProcessSpec) -> None:
    status = stack.start(Plan(services=(web,)))
    assert status.all_run
    pids = [status.pid, pid_of(stack, "web")]
    stack.down()
    assert stack.status().phase == "down"
    assert not any(psutil.pid_exists(pid) for pid in pids if pid is not None)


def test_a_service_that_dies_is_started_again_and_the_status_shows_it(stack: Stack, web: ProcessSpec) -> None:
    stack.start(Plan(services=(web,)))
    first = pid_of(stack, "web")
    stack.kill("web")
    assert not stack.status().all_run
    (shown,) = stack.wait_until_ready(DEADLINE_S).processes
    assert shown.pid != first
    assert shown.restarts == 1
    assert shown.last_exit == "killed by SIGKILL"


def test_a_restart_on_request_does_not_wait(stack: Stack, web: ProcessSpec) -> None:
    stack.start(Plan(services=(web,)))
    first = pid_of(stack, "web")
    stack.restart("web")
    (shown,) = stack.wait_until_ready(DEADLINE_S).processes
    assert shown.pid != first
    assert shown.last_exit == "killed by SIGTERM"


def test_a_process_that_never_comes_up_is_named_with_its_last_words(stack: Stack, web: ProcessSpec) -> None:
    with pytest.raises(NotReadyError, match=r"broken does not come up \(exited with code 1\): the reason why"):
        stack.start(Plan(services=(web, failing())))
    assert {process.name: process.state for process in stack.status().processes}["web"] == "ready"


def test_a_program_that_is_not_there_is_named(stack: Stack) -> None:
    spec = failing().model_copy(update={"argv": ("/nowhere/program",)})
    with pytest.raises(NotReadyError, match="could not be started: No such file or directory: /nowhere/program"):
        stack.start(Plan(services=(spec,)))


def test_a_taken_port_is_told_with_who_has_it(stack: Stack, web: ProcessSpec) -> None:
    assert web.port is not None
    with socket.create_server(("127.0.0.1", web.port)), pytest.raises(PortTakenError) as caught:
        stack.start(Plan(services=(web,)))
    assert f"Port {web.port}, which web needs, is taken by process {psutil.Process().pid}" in str(caught.value)
    assert stack.status().phase == "down"


def test_what_a_killed_supervisor_left_is_ended_by_down(stack: Stack, web: ProcessSpec) -> None:
    status = stack.start(Plan(services=(web,)))
    orphan = psutil.Process(pid_of(stack, "web"))
    assert status.pid is not None
    psutil.Process(status.pid).kill()
    eventually(lambda: stack.status().phase == "down")
    assert runs(orphan)
    stack.down()
    assert not runs(orphan)


def test_after_a_killed_supervisor_the_stack_starts_anew(stack: Stack, web: ProcessSpec) -> None:
    status = stack.start(Plan(services=(web,)))
    orphan = psutil.Process(pid_of(stack, "web"))
    assert status.pid is not None
    psutil.Process(status.pid).kill()
    eventually(lambda: stack.status().phase == "down")
    assert stack.start(Plan(services=(web,))).all_run
    assert not runs(orphan)


def test_a_stranger_with_a_recorded_process_id_is_left_alone(stack: Stack, web: ProcessSpec) -> None:
    stack.start(Plan(services=(web,)))
    stack.down()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = stack.settings.home / RECORD
        started = psutil.Process(stranger.pid).create_time()
        write_private(record, Record(pid=stranger.pid, started=started - 3600).model_dump_json())
        assert recorded_process(record) is None
        stack.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_services_are_added_to_a_running_stack(stack: Stack, web: ProcessSpec, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    ports = (address.rsplit(":", 1)[1], str(free_port()))
    argv = (sys.executable, "-m", "devstack.smtp_sink", *ports, str(tmp_path / "mails"))
    sink = ProcessSpec(name="sink", argv=argv, address=address, probe="tcp", target=address)
    stack.start(Plan(backends=(sink,)))
    first = pid_of(stack, "sink")
    stack.extend((web,))
    status = stack.wait_until_ready(DEADLINE_S)
    assert [process.name for process in status.processes] == ["sink", "web"]
    assert pid_of(stack, "sink") == first


def test_the_environment_of_a_service_is_inherited_and_extended(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_FAILURE_RATE", "0.2")
    port = free_port()
    program = (
        "import os, pathlib, socket, sys, time\n"
        "pathlib.Path(sys.argv[2]).write_text(os.environ['PAYMENT_FAILURE_RATE'] + ' ' + os.environ['HTTP_PORT'])\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True: time.sleep(60)"
    )
    argv = (sys.executable, "-c", program, str(port), str(tmp_path / "told"))
    address = f"127.0.0.1:{port}"
    spec = ProcessSpec(name="s", argv=argv, env={"HTTP_PORT": "8003"}, address=address, probe="tcp", target=address)
    stack.start(Plan(services=(spec,)))
    assert (tmp_path / "told").read_text() == "0.2 8003"


def test_a_request_for_a_process_that_is_not_there_names_those_that_are(stack: Stack, web: ProcessSpec) -> None:
    with pytest.raises(DevstackError, match="The stack is down"):
        stack.kill("web")
    stack.start(Plan(services=(web,)))
    with pytest.raises(DevstackError, match="no process 'wob'; there are web"):
        stack.kill("wob")


async def test_a_process_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    program = (
        "import signal, socket, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True: time.sleep(60)"
    )
    argv = (sys.executable, "-c", program, address.rsplit(":", 1)[1])
    spec = ProcessSpec(name="deaf", argv=argv, address=address, probe="tcp", target=address)
    keeper = Keeper(spec, Folders(tmp_path, tmp_path, tmp_path), BackOff(), stop_timeout_s=0.3)
    keeper.start()
    await asyncio.wait_for(keeper.ready.wait(), DEADLINE_S)
    await asyncio.wait_for(keeper.stop(), DEADLINE_S)
    assert keeper.last_exit == "killed by SIGKILL"
    assert keeper.state == "stopped"


async def test_a_run_that_was_ready_is_none_of_those_that_make_a_process_hopeless(
    tmp_path: Path, web: ProcessSpec
) -> None:
    keeper = Keeper(web, Folders(tmp_path, tmp_path, tmp_path), BackOff(first_s=0.01, most_s=0.02))
    keeper.start()
    for _ in range(2):
        await asyncio.wait_for(keeper.ready.wait(), DEADLINE_S)
        pid = keeper.pid
        assert keeper.signal(signal.SIGKILL)
        await keeper.gone(pid)
    await asyncio.wait_for(keeper.ready.wait(), DEADLINE_S)
    assert keeper.describe()["failures"] == 0
    await keeper.stop()
    broken = Keeper(failing(), Folders(tmp_path, tmp_path, tmp_path), BackOff(first_s=0.01, most_s=0.02))
    broken.start()
    await asyncio.to_thread(eventually, lambda: broken.describe()["failures"] >= 3)
    await broken.stop()


async def test_who_was_ready_is_started_again_at_once_and_who_was_not_after_a_while(
    tmp_path: Path, web: ProcessSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    for spec, told in ((web, "starting again in 0.0 s"), (failing(), "starting again in 3600.0 s")):
        keeper = Keeper(spec, Folders(tmp_path, tmp_path, tmp_path), BackOff(first_s=3600, most_s=3600, healthy_s=0))
        keeper.start()
        if spec is web:
            await asyncio.wait_for(keeper.ready.wait(), DEADLINE_S)
            keeper.signal(signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda keeper=keeper: keeper.last_exit is not None)
        await keeper.stop()
        assert told in capsys.readouterr().out


async def test_a_frozen_process_can_be_stopped(tmp_path: Path, web: ProcessSpec) -> None:
    keeper = Keeper(web, Folders(tmp_path, tmp_path, tmp_path), BackOff())
    keeper.start()
    await asyncio.wait_for(keeper.ready.wait(), DEADLINE_S)
    assert keeper.signal(signal.SIGSTOP)
    await asyncio.wait_for(keeper.stop(), DEADLINE_S)
    assert keeper.last_exit == "killed by SIGTERM"


async def test_failures_in_a_row_are_counted_until_a_run_was_long_enough(tmp_path: Path) -> None:
    keeper = Keeper(failing(), Folders(tmp_path, tmp_path, tmp_path), BackOff(first_s=0.01, most_s=0.02))
    keeper.start()
    await asyncio.to_thread(eventually, lambda: keeper.failures >= 3)
    await keeper.stop()
    patient = Keeper(failing(), Folders(tmp_path, tmp_path, tmp_path), BackOff(first_s=0.01, most_s=0.02, healthy_s=0))
    patient.start()
    await asyncio.to_thread(eventually, lambda: patient.restarts >= 3)
    assert patient.failures == 1
    await patient.stop()
