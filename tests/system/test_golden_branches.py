"""Every branch of the workflow is in the golden histories: each statement of its modules runs while they are decided again, or it
says here why it cannot."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from services.orders import domain
from simulation import golden

FOLDER = Path(__file__).parent.parent / "golden"
DOMAIN = Path(domain.__file__).parent
#: What looks ahead decides nothing: it has conversations of its own (tests/system/test_foresight.py).
ELSEWHERE = {"foresee.py", "participants.py"}

_ANOTHERS = "ids follow from the order and its step, so that no answer on its key names another one's"
_HAS_IT = "in the phase in which it is called there is one; the type alone does not say so"
_POLICY = "by the default policies, and with this gateway, it does not come to that; tests/unit/test_order_policies.py has others"
_ONE_BATCH = "inventory answers all releases of an order together, so that none comes again while another is awaited"
_NOT_HELD = "a hold is over only after it was told to be held, and then nothing is being reserved any more"
_RETURN, _NOTHING = "return Move(order)", "return ()"
#: Module, function and statement, and why no history runs it.
UNREACHED: dict[tuple[str, str, str], str] = {
    ("compensation", "_go_on", _RETURN): _HAS_IT,
    ("compensation", "_end", _RETURN): _HAS_IT,
    ("compensation", "give_up_step", _RETURN): _HAS_IT,
    ("compensation", "released", _RETURN): _ONE_BATCH,
    ("deadlines", "extended_until", "return _whole_wait(order, now)"): _NOT_HELD,
    ("decide", "_row", "return {"): "the table is made when the module is read",
    (
        "decide",
        "decide",
        "return Decision(replace(view, fresh=()))  # deadlines stand still; resuming sets the timer anew",
    ): "a pause takes the timer away, and what was claimed of it is over (messaging); this holds where that did not",
    ("enrichment", "_learned", _RETURN): _ANOTHERS,
    ("enrichment", "customer_unknown", _RETURN): _ANOTHERS,
    ("enrichment", "recommendation_missing", _RETURN): _HAS_IT,
    (
        "enrichment",
        "recommendation_missing",
        "again = replace(known, recommend_by=now + patience.delay(attempt + 1), recommend_attempt=attempt + 1)",
    ): _POLICY,
    (
        "enrichment",
        "recommendation_missing",
        'asked = (noted(order, failure, "orders.asked-again", Next(now)), _question(order, again))',
    ): _POLICY,
    ("enrichment", "recommendation_missing", "return Move(replace(order, enrichment=again), asked)"): _POLICY,
    (
        "evolve",
        "replace",
        'raise TypeError(f"{type(value).__name__} has no field {sorted(changes.keys() - fields.keys())}")',
    ): "only a mistake in the code gets there",
    ("holds", "_needed", 'return (business_id("rsv", order.order_id, "0"),)'): _NOT_HELD,
    ("move", "_enrichment_requests", _NOTHING): _HAS_IT,
    ("move", "_undo_request", _NOTHING): _HAS_IT,
    ("move", "awaited", _NOTHING): "nobody asks in the phases in which nothing is awaited",
    ("replies", "captured", _RETURN): _ANOTHERS,
    ("replies", "declined", _RETURN): _ANOTHERS,
    ("replies", "payment_settled", _RETURN): _HAS_IT,
    ("replies", "refused", _RETURN): _ANOTHERS,
    ("replies", "reserved", _RETURN): _ANOTHERS,
    ("replies", "voided", _RETURN): _ANOTHERS,
    ("retries", "ask_the_silent", 'return leave_to_a_person(order, failure, "no-answer")'): _POLICY,
    ("retries", "keep_trying", "return leave_to_a_person(order, failure, reason)"): _POLICY,
    (
        "retries",
        "leave_to_a_person",
        "move = Move(replace(order, asked_at=None, retry_at=None, unanswered=0), (noted(order, failure),))",
    ): _POLICY,
    (
        "retries",
        "leave_to_a_person",
        "return move.then(lambda o: need_attention(o, reason, failure.error))",
    ): _POLICY,
    ("retries", "retry", "return ask(order, now)"): _POLICY,
    (
        "signals",
        "add_line",
        'return reject(order, situation.command, "invalid", f"An order has at most {MAX_LINES} lines.")',
    ): "a thousand lines would make a file of megabytes; tests/system/test_approval.py has them",
}


def lines_run(files: list[Path]) -> dict[str, set[int]]:
    """The lines of the workflow that run while these histories are decided again."""
    seen: dict[str, set[int]] = {}

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent != DOMAIN:
            return None
        lines = seen.setdefault(path.name, set())

        def line(inner: FrameType, event: str, argument: Any) -> Any:
            lines.add(inner.f_lineno)
            return line

        return line

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        for path in files:
            for _ in golden.replay(golden.read(path)):
                pass
    finally:
        sys.settrace(before)
    return seen


def statements(path: Path) -> Iterator[tuple[str, int, str]]:
    """The function, line and text of each statement in a function of a module."""
    text = path.read_text()
    lines = text.splitlines()
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node, ast.stmt) and node is not function and not docstring:
                yield function.name, node.lineno, lines[node.lineno - 1].strip()


def not_run(seen: dict[str, set[int]]) -> set[tuple[str, str, str]]:
    return {
        (path.stem, function, text)
        for path in DOMAIN.glob("*.py")
        if path.name not in ELSEWHERE
        for function, number, text in statements(path)
        if number not in seen.get(path.name, set())
    }


def test_every_statement_of_the_workflow_runs_in_the_histories_or_says_why_it_cannot() -> None:
    missing = not_run(lines_run(sorted(FOLDER.glob("*/*.json"))))
    assert missing - UNREACHED.keys() == set(), "add a scenario to simulation/stories.py, or a reason here"
    assert UNREACHED.keys() - missing == set(), "this runs after all: take it off the list"


@pytest.mark.parametrize(
    ("file", "function"), [("v1/gateway-away.json", "failed"), ("v2/unknown-customer.json", "customer_unknown")]
)
def test_a_branch_whose_history_is_not_there_is_noticed(file: str, function: str) -> None:
    few = not_run(lines_run([FOLDER / file]))
    every = not_run(lines_run([FOLDER / "greet" / "greeted.json"]))
    assert {name for _, name, _ in every - few} >= {function}
