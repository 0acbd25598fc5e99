"""Each image holds what its process imports, and of what the others need nothing; compose gives each the settings it asks for."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from provision.databases import GATEWAY, SERVICES

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("contracts", "messaging", "services", "orderctl", "audit", "provision", "devstack")
DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
#: The target, and the modules that it runs.
PROCESSES: Final = {
    "orders": ("services.orders",),
    "orders-api": ("services.orders.api",),
    "inventory": ("services.inventory",),
    "payment": ("services.payment",),
    "customer": ("services.customer",),
    "notification": ("services.notification",),
    "recommendation": ("services.recommendation",),
    "recommendation-learner": ("services.recommendation.learner",),
    "console": ("services.console",),
    "watcher": ("audit.watcher",),
    "operator": ("orderctl", "provision"),
    "smtp-sink": ("devstack.smtp_sink",),
}


def stages() -> dict[str, list[str]]:
    """The lines of each stage, those of the stages that it is built on first."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in DOCKERFILE.splitlines():
        if started := re.match(r"FROM (\S+) AS (\S+)", line):
            base, name = started.groups()
            lines = found[name] = list(found.get(base, ()))
        lines.append(line)
    return found


def held(target: str) -> tuple[set[str], str]:
    """The folders of ours in an image, and the file that its dependencies are locked in."""
    lines = stages()[target]
    folders = {"contracts", "messaging", "services/__init__.py"}
    folders |= {m for line in lines for m in re.findall(r"COPY --from=code (?:--chown=\S+ )?/app/(\S+) ", line)}
    if any("/learner services" in line for line in lines):
        folders.add("services/recommendation/learner")
    elif "services/recommendation" in folders:
        folders.discard("services/recommendation")
        folders |= {str(p.relative_to(ROOT)) for p in (ROOT / "services" / "recommendation").glob("*.py")}
    (venv,) = {m for line in lines for m in re.findall(r"COPY --from=dependencies-?(\S*) /opt/venv", line)}
    return folders, venv or "service"


def sent_to_the_engine(path: Path) -> bool:
    """Whether `.dockerignore` lets a file of ours into the build: of the lines that fit, the last one decides."""
    fit, sent = path.relative_to(ROOT), True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern == "*" or fit.is_relative_to(pattern) or (pattern[:3] == "**/" and pattern[3:] in fit.parts):
            sent = line.startswith("!")
    return sent


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def imports(module: str) -> tuple[set[Path], set[str]]:
    """The files of ours that running a module loads, and the top names of all else that it imports."""
    files: set[Path] = set()
    foreign: set[str] = set()
    package = ROOT / module.replace(".", "/") / "__main__.py"
    todo = [package if package.exists() else ROOT / (module.replace(".", "/") + ".py")]
    while todo:
        path = todo.pop()
        if path in files:
            continue
        files.add(path)
        for name in _imported(path):
            if name.split(".")[0] in OURS:
                parts = name.split(".")
                todo += [p for i in range(1, len(parts) + 1) if (p := file_of(".".join(parts[:i]))) is not None]
            else:
                foreign.add(name.split(".")[0])
    return files, foreign


@cache
def _imported(path: Path) -> tuple[str, ...]:
    return tuple(_imports_in(path))


def _imports_in(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and isinstance(test.test, ast.Name) and test.test.id == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@cache
def locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / "images" / f"{name}.txt").read_text()
    return {re.sub(r"[-_.]+", "-", found).lower() for found in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("target", PROCESSES)
def test_an_image_holds_all_that_its_process_imports(target: str) -> None:
    folders, requirements = held(target)
    distributions = _distributions()
    for module in PROCESSES[target]:
        files, foreign = imports(module)
        missing = {
            str(path.relative_to(ROOT))
            for path in files
            if not any(path == ROOT / folder or ROOT / folder in path.parents for folder in folders)
        }
        assert missing == set()
        assert [str(path.relative_to(ROOT)) for path in files if not sent_to_the_engine(path)] == []
        wanted = {d for name in foreign for d in distributions.get(name, ())}
        assert {re.sub(r"[-_.]+", "-", d).lower() for d in wanted} <= locked(requirements)


#: What is used and never named: by a library, where it finds it.
UNNAMED: Final = {"console": ("jinja2", "python-multipart", "uvloop")}


@pytest.mark.parametrize("target", PROCESSES)
def test_an_image_holds_no_dependency_that_its_process_does_without(target: str) -> None:
    distributions = _distributions()
    named = {d for module in PROCESSES[target] for name in imports(module)[1] for d in distributions.get(name, ())}
    held_here, needed = locked(held(target)[1]), set[str]()
    todo = {_plain(name) for name in (*named, *UNNAMED.get(target, ()))}
    while todo:
        needed.add(name := todo.pop())
        todo |= _asked_for_by(name) & held_here - needed
    assert held_here - needed == set()


def _asked_for_by(name: str) -> set[str]:
    """What a distribution requires, whatever the platform; of one that is locked for another platform, nothing is known."""
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {_plain(found.group()) for line in lines if (found := re.match(r"[\w.-]+", line))}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_dependencies_of_an_image_are_built_on_none_that_it_does_not_lock_itself() -> None:
    built = re.findall(r"FROM (\S+) AS (dependencies\S*)\nCOPY requirements/images/(\S+)\.txt", DOCKERFILE)
    files = {name: file for _, name, file in built}
    assert {held(target)[1] for target in PROCESSES} <= {*files.values()}
    for base, name, file in built:
        assert base == "no-dependencies" or locked(files[base]) <= locked(file), name


@pytest.mark.parametrize("target", sorted(PROCESSES.keys() - {"operator", "console", "watcher", "smtp-sink"}))
def test_a_services_image_holds_no_other_service_and_none_of_the_tools(target: str) -> None:
    folders, requirements = held(target)
    own = PROCESSES[target][0].split(".")[1]
    services = {Path(folder).parts[1] for folder in folders if folder.startswith("services/")}
    assert services - {"__init__.py", "__pycache__"} == {own}
    assert not folders & {"orderctl", "audit", "provision", "devstack"}
    assert ("faust-streaming" in locked(requirements)) == (target == "recommendation-learner")
    assert ("aiosmtplib" in locked(requirements)) == (target == "notification")


def test_every_dependency_is_locked_with_hashes_to_the_version_that_the_tests_run() -> None:
    dev = set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE))
    for path in sorted((ROOT / "requirements" / "images").glob("*.txt")):
        pins = re.findall(r"^(\S+==\S+).*\n((?:    --hash=.*\n)*)", path.read_text(), re.MULTILINE)
        assert pins
        assert {pin for pin, _ in pins} <= dev, path.name
        assert all(hashes for _, hashes in pins)


@pytest.mark.parametrize("target", sorted(PROCESSES.keys() - {"operator"}))
def test_an_image_is_not_roots_has_a_health_check_and_starts_without_a_shell(target: str) -> None:
    lines = stages()[target]
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001:10001"
    assert [line for line in lines if line.startswith("HEALTHCHECK ")][-1].endswith("]")
    assert [line for line in lines if line.startswith("CMD ")][-1].startswith('CMD ["python", "-m"')


@pytest.mark.parametrize("target", PROCESSES)
def test_an_image_says_what_it_is_and_of_which_release(target: str) -> None:
    told = dict(re.findall(r'org\.opencontainers\.image\.(\w+)=("[^"]+"|\$\{\w+\})', "\n".join(stages()[target])))
    assert told["title"] == f'"{target}"'
    assert told["description"]
    assert (told["version"], told["revision"]) == ("${VERSION}", "${REVISION}")


def test_each_of_our_containers_is_read_only_has_no_capability_and_a_memory_limit() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["mem_limit"], name
        assert "privileged" not in service
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if service["image"].startswith("order-processing/"):
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_every_process_runs_in_compose_on_its_own_port_and_a_service_gets_its_own_database_alone() -> None:
    services = COMPOSE["services"]
    for name, port in {**HTTP_PORTS, "watcher": WATCHER_PORT}.items():
        assert [p.rpartition(":")[2] for p in services[name]["ports"]] == [str(port)]
    every = {f"{database.upper()}_DATABASE_URL" for database in (*SERVICES, GATEWAY)}
    given = {name: {v for v in s.get("environment", {}) if v.endswith("_DATABASE_URL")} for name, s in services.items()}
    assert given["provision"] == every
    assert given["watcher"] == every - {"CONSOLE_DATABASE_URL"}
    assert given["payment"] == {"PAYMENT_DATABASE_URL", "GATEWAY_DATABASE_URL"}
    for name in ("orders", "inventory", "customer", "notification", "recommendation", "console"):
        assert given[name] == {f"{name.upper()}_DATABASE_URL"}


def test_the_init_script_makes_every_database() -> None:
    script = (ROOT / "deploy" / "postgres" / "databases.sh").read_text()
    (names,) = re.findall(r"for name in ([a-z ]+);", script)
    assert set(names.split()) == {*SERVICES, GATEWAY}
