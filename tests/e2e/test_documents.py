"""What the documents tell a reader to type works as it stands, on the running stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from documents import joined

from e2e.compose import ComposeStack
from e2e.conftest import run_stack
from e2e.shop import Shop
from e2e.stack import Place, Stack
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


@pytest.fixture
def local(
    stack: Stack | ComposeStack | None, request: pytest.FixtureRequest
) -> Iterator[tuple[Stack | ComposeStack | None, Place]]:
    """A stack that devstack made: the one of all scenarios, or one of its own where that is in containers."""
    if not isinstance(stack, ComposeStack):
        yield stack, request.getfixturevalue("place")
        return
    own = Stack("e2e-readme", PAYMENT_FAILURE_RATE="0")
    for place in run_stack(own, request):
        yield own, place


async def typed(document: str, stack: Stack | ComposeStack | None, place: Place) -> None:
    """All the commands of a document, one after another; none of them may fail."""
    if stack is None:
        pytest.skip("the ids in the documents are taken in a stack that lives on")
    commands = joined(document, "sh")
    assert "orderctl " in commands
    done = await run(["bash", "-c", ALREADY_UP + commands], env=place.env, timeout_s=300)
    assert done.returncode == 0, f"{commands}\n{done.output}"
    await stack.wait_ready()


@pytest.mark.slow
@pytest.mark.not_in_containers("the README speaks of devstack's processes, and kills one")
async def test_every_command_of_the_readme_works(local: tuple[Stack | ComposeStack | None, Place]) -> None:
    await typed("README.md", *local)


@pytest.mark.parametrize("document", ["docs/orderctl.md", "docs/operations.md"])
async def test_every_command_of_the_document_works(
    document: str, stack: Stack | ComposeStack | None, place: Place
) -> None:
    await typed(document, stack, place)


async def test_the_workflow_of_the_tutorial_runs_and_its_greeting_stands_in_the_history(
    stack: Stack | ComposeStack | None, shop: Shop
) -> None:
    await typed("docs/tutorial-workflow.md", stack, shop.place)
    told = await shop.everything("orders-api", "/orders/GREET-1/history")
    assert [entry["data"]["greeting"] for entry in told if entry["type"] == "orders.greeted.v1"] == ["Hello, ada!"]
