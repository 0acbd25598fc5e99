"""Which Python `make setup` makes the environment with."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "requirements" / "choose_python.sh"


def interpreter(path: Path, *, optimised: bool, usable: bool = True) -> Path:
    """A stand-in that answers the script's two questions by its exit code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *CONFIG_ARGS*) exit {int(not optimised)};; *) exit {int(not usable)};; esac\n'
    )
    path.chmod(0o755)
    return path


def chosen(first: Path, system: Path) -> str:
    env = {"PATH": f"{first.parent}{os.pathsep}{os.environ['PATH']}", "SYSTEM_PYTHON": str(system)}
    return subprocess.run(["sh", SCRIPT], env=env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("optimised", "system_is_there", "system_usable", "takes"),
    [
        (True, True, True, "first"),
        (False, True, True, "system"),
        (False, True, False, "first"),
        (False, False, False, "first"),
    ],
)
def test_the_systems_own_python_is_taken_only_where_the_first_on_the_path_is_a_slow_build(
    tmp_path: Path, optimised: bool, system_is_there: bool, system_usable: bool, takes: str
) -> None:
    first = interpreter(tmp_path / "bin" / "python3", optimised=optimised)
    system = tmp_path / "system" / "python3"
    if system_is_there:
        interpreter(system, optimised=True, usable=system_usable)

    assert chosen(first, system) == str({"first": first, "system": system}[takes])
