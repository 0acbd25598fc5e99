"""What the documents tell a reader to type works as it stands, on the running stack."""

from __future__ import annotations

import pytest
from documents import joined

from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import Stack
from e2e.tools import run

#: The stack is up when the documents are read, is audited when all tests are over, and stays until then.
ALREADY_UP = """
set -euo pipefail
make() {
    case $1 in
        status) .venv/bin/python -m devstack status ;;
        up|audit|down) ;;
        *) echo "make $1?" >&2; return 1 ;;
    esac
}
export PATH="$PWD/.venv/bin:$PATH"
"""


async def typed(document: str, stack: Stack | ComposeStack | None, shop: Shop) -> None:
    """All the commands of a document, one after another; none of them may fail."""
    if stack is None:
        pytest.skip("the ids in the documents are taken in a stack that lives on")
    commands = joined(document, "sh")
    assert "orderctl " in commands
    if isinstance(stack, ComposeStack) and ("devstack" in commands or "make status" in commands):
        pytest.skip("the document speaks of devstack's processes, not of containers (E2E_STACK=devstack runs it)")
    done = await run(["bash", "-c", ALREADY_UP + commands], env=shop.place.env, timeout_s=180)
    assert done.returncode == 0, f"{commands}\n{done.output}"
    await stack.wait_ready()


#: The README kills a service.
@pytest.mark.parametrize(
    "document", [pytest.param("README.md", marks=pytest.mark.slow), "docs/orderctl.md", "docs/operations.md"]
)
async def test_every_command_of_the_document_works(
    document: str, stack: Stack | ComposeStack | None, shop: Shop
) -> None:
    await typed(document, stack, shop)


async def test_the_workflow_of_the_tutorial_runs_and_its_greeting_stands_in_the_history(
    stack: Stack | ComposeStack | None, shop: Shop
) -> None:
    await typed("docs/tutorial-workflow.md", stack, shop)
    told = await shop.everything("orders-api", "/orders/GREET-1/history")
    assert [entry["data"]["greeting"] for entry in told if entry["type"] == "orders.greeted.v1"] == ["Hello, ada!"]
