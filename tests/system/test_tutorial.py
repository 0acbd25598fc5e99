"""The tutorial is what it says it is: taken out of the code and put in again block by block, it gives the same code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, Block, blocks
from patches import apply, take_back

TUTORIAL = "docs/tutorial-workflow.md"
NO_PART_OF_IT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "deploy", "docs")
#: Whoever knows nothing of greetings refuses them.
REFUSES = """
from contracts.topics import ORDERS_COMMANDS
from simulation.kit import Shop
shop = Shop()
shop.system.raw(ORDERS_COMMANDS, b"GREET-0007", open("greet.json", "rb").read())
shop.skip()
(verdict,) = shop.system.verdicts("GREET-0007")
assert verdict.reason == "invalid", verdict
shop.given_order()
"""


def steps() -> Iterator[tuple[Block, str, Path]]:
    """The blocks that change the tree: what each does, and to which file."""
    for block in blocks(TUTORIAL):
        words = block.info.split()
        match words:
            case ["diff", path]:
                yield block, "change", Path(path)
            case ["sh", "makes", path]:
                yield block, "run", Path(path)
            case [_, path]:
                yield block, "write", Path(path)


def run(tree: Path, *command: str) -> str:
    """Run something in the tree, with the tree's own code. Returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which nothing of the tutorial is left."""
    tree = tmp_path_factory.mktemp("tutorial") / "tree"
    shutil.copytree(ROOT, tree, ignore=NO_PART_OF_IT)
    for block, what, path in steps():
        if what == "change":
            take_back(tree / path, block.text)
        else:
            (tree / path).unlink()
    return tree


def test_without_the_tutorial_the_system_works_and_knows_no_greeting(without: Path) -> None:
    shutil.copy(ROOT / "tests/contract/samples/orders.start-greet.v1.json", without / "greet.json")
    run(without, sys.executable, "-c", REFUSES)
    (without / "greet.json").unlink()


def test_with_the_tutorial_it_is_the_code_that_there_is_and_its_test_passes(without: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(without, tree, ignore=NO_PART_OF_IT)
    for block, what, path in steps():
        if what == "change":
            apply(tree / path, block.text)
        elif what == "write":
            (tree / path).parent.mkdir(exist_ok=True)
            (tree / path).write_text(block.text, encoding="utf-8")
        else:
            run(tree, "bash", "-c", block.text)
    assert [path for path in files(ROOT) | files(tree) if differs(path, tree)] == []
    printed = run(tree, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/system/test_greet.py")
    assert " passed" in printed


def files(tree: Path) -> set[Path]:
    """What a copy of the tree would have."""
    found = set()
    for folder, folders, names in os.walk(tree):
        ignored = NO_PART_OF_IT(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in ignored]
        found.update((Path(folder) / name).relative_to(tree) for name in names if name not in ignored)
    return found


def differs(path: Path, tree: Path) -> bool:
    """Whether a file is not the same in the repository and in the tree."""
    here, there = ROOT / path, tree / path
    return not (here.exists() and there.exists()) or here.read_bytes() != there.read_bytes()
