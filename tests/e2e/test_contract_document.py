"""docs/contract.md is true: every line of shell in it runs, and prints what the document says."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

import pytest
from documents import Block, blocks

from e2e.shop import Shop
from e2e.tools import kcat, run

DOCUMENT: Final = "docs/contract.md"
PATIENCE_S: Final = 90.0


@pytest.mark.skipif(
    kcat() is None or shutil.which("bash") is None, reason="kcat is not installed (Debian: apt-get install kcat)"
)
async def test_every_command_of_the_contract_document_works_and_prints_what_it_says(shop: Shop, tmp_path: Path) -> None:
    found = [block for block in blocks(DOCUMENT) if block.info == "sh"]
    assert len([block for block in found if block.shows is not None]) >= 5
    for block in found:
        await _hold(block, shop, tmp_path / "variables")


async def _hold(block: Block, shop: Shop, variables: Path) -> None:
    """Run the block once; one that only looks is repeated until there is to be seen what the document says."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        printed = await _shell(block.text, shop, variables)
        if block.shows is None or printed == block.shows:
            return
        late = asyncio.get_running_loop().time() > deadline
        assert not late, f"{block.text}\nprinted\n{printed}\ninstead of\n{block.shows}"


async def _shell(commands: str, shop: Shop, variables: Path) -> str:
    """Run in a shell that has the variables of the blocks before, and leaves its own to those after."""
    before = f"set -euo pipefail\n[ ! -e {variables} ] || . {variables}\n"
    after = f"declare -p NOW ORDER SKU CUSTOMER > {variables}\n"
    done = await run(["bash", "-c", before + commands + after], env=shop.place.env)
    assert done.returncode == 0, f"{commands}\n{done.output}"
    return done.stdout
