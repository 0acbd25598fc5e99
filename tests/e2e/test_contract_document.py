"""docs/contract.md is true: every line of shell in it runs, and prints what the document says."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

import pytest
from documents import blocks

from e2e.shop import Shop
from e2e.tools import kcat, run

DOCUMENT: Final = "docs/contract.md"
PATIENCE_S: Final = 30.0


@pytest.mark.skipif(
    kcat() is None or shutil.which("bash") is None, reason="kcat is not installed (Debian: apt-get install kcat)"
)
async def test_every_command_of_the_contract_document_works_and_prints_what_it_says(shop: Shop, tmp_path: Path) -> None:
    found = _typed_and_printed()
    assert len([one for one in found if one[1] is not None]) >= 5
    for commands, prints in found:
        await _hold(commands, prints, shop, tmp_path / "variables")


def _typed_and_printed() -> list[tuple[str, str | None]]:
    """Commands, and what the document says that they print: a block of text belongs to the commands above it."""
    found: list[tuple[str, str | None]] = []
    for block in blocks(DOCUMENT):
        if block.info == "sh":
            found.append((block.text, None))
        elif block.info == "text":
            commands, already = found.pop()
            assert already is None, "two blocks of text after the same commands"
            found.append((commands, block.text))
    return found


async def _hold(commands: str, prints: str | None, shop: Shop, variables: Path) -> None:
    """Run the block once; one that only looks is repeated until there is to be seen what the document says."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        printed = await _shell(commands, shop, variables)
        if prints in (None, printed):
            return
        late = asyncio.get_running_loop().time() > deadline
        assert not late, f"{commands}\nprinted\n{printed}\ninstead of\n{prints}"


async def _shell(commands: str, shop: Shop, variables: Path) -> str:
    """Run in a shell that has the variables of the blocks before, and leaves its own to those after."""
    before = f"set -euo pipefail\n[ ! -e {variables} ] || . {variables}\n"
    after = f"declare -p NOW ORDER SKU CUSTOMER > {variables}\n"
    done = await run(["bash", "-c", before + commands + after], env=shop.place.env)
    assert done.returncode == 0, f"{commands}\n{done.output}"
    return done.stdout
