"""One command to many orders, and what a dry run reads like: from the arguments to the receipts."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from orderctl_shop import Shop
from test_orderctl_cli import lines, run

from contracts.orders import CancelByOperator
from messaging.ports import Record
from orderctl import cli
from orderctl.bulk.receipts import ReceiptFile, new_run, read_run
from orderctl.bulk.run import GIVE_UP_AFTER
from orderctl.errors import UsageError
from orderctl.exits import Exit

REASON = ("--operator", "op", "--reason", "ticket 7")


class Answers(BaseHTTPRequestHandler):
    """Lists the shop's orders, newest first, and foresees that what waits for approval can be cancelled."""

    shop: Shop
    queries: list[dict[str, list[str]]]
    plans: list[dict[str, Any]]

    def do_GET(self) -> None:
        query = parse_qs(self.path.partition("?")[2])
        self.queries.append(query)
        wanted = query.get("status")
        found = [
            {"order_id": order, "status": status}
            for order, status in reversed(self.shop.status.items())
            if wanted is None or status in wanted
        ]
        self._answer({"items": found, "next": None})

    def do_POST(self) -> None:
        order = self.path.split("/")[2]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.plans.append(asked)
        status = self.shop.status.get(order)
        accepted = status == "AWAITING_APPROVAL"
        standing = None if status is None else {"status": status, "reason": None, "waiting_for": None, "paused": False}
        refusal = {"reason": "too-late", "message": "The order is [completed]."}
        told = {"reason": None, "message": ""} if accepted else refusal
        release = {"reservation_id": "rsv_1"}
        step = {
            "kind": "command",
            "type": "inventory.release-stock.v1",
            "topic": "inventory.commands.v1",
            "data": release,
        }
        self._answer(
            {
                "order_id": order,
                "type": asked["type"],
                "verdict": {"accepted": accepted, "duplicate": False, **told},
                "steps": [step] if accepted else [],
                "then": [],
                "money": [{"kind": "refund", "amount_minor": 1250, "currency": "GBP"}] if accepted else [],
                "stock": [{"kind": "release", "sku": "MUG", "quantity": 2}] if accepted else [],
                "before": standing,
                "outcome": {**standing, "status": "CANCELLED"} if standing is not None and accepted else standing,
            }
        )

    def _answer(self, body: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the test's stderr."""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    """Five orders that wait, and one that has ended. Receipts without a name go to a folder of the test."""
    made = Shop()
    monkeypatch.setattr(cli, "transport_for", lambda settings: made.transport)
    monkeypatch.chdir(tmp_path)
    for name in ("ORDER_ID", "OPERATOR"):
        monkeypatch.delenv(name, raising=False)
    made.status = {**{f"O-{number}": "AWAITING_APPROVAL" for number in range(5)}, "OLD": "COMPLETED"}
    return made


@pytest.fixture
def api(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    handler = type("Handler", (Answers,), {"shop": shop, "queries": [], "plans": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("ORDERS_API_URL", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()


@pytest.fixture
def ctl(monkeypatch: pytest.MonkeyPatch, shop: Shop, api: type[Answers]) -> Any:
    return lambda *arguments: run(monkeypatch, *arguments)


def receipts_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def cancel(ctl: Any, *more: str) -> int:
    code: int = ctl("bulk", "cancel", *REASON, "--rate", "1000", *more)
    return code


# --- dry runs of one order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb",
    [
        ("approve",),
        ("cancel",),
        ("cancel", "--operator", "op"),
        ("add-item", "MUG:1"),
        ("pause", *REASON),
        ("resume", *REASON),
        ("retry-now", *REASON),
        ("resolve-attention", "--resolution", "settled", "--evidence", "BANK-4711", *REASON),
    ],
)
def test_every_verb_about_an_order_can_be_tried_dry_and_sends_nothing(
    ctl: Any, shop: Shop, api: type[Answers], capsys: Any, verb: tuple[str, ...]
) -> None:
    name, *rest = verb
    assert ctl(name, "O-1", *rest, "--dry-run", "--json") == Exit.OK
    (plan,) = lines(capsys)
    assert plan["outcome"]["status"] == "CANCELLED"
    assert ctl(name, "OLD", *rest, "--dry-run") == Exit.REJECTED
    assert "would be rejected: too-late. The order is [completed]." in capsys.readouterr().out
    assert not shop.commands
    assert all(asked.keys() == {"type", "data"} for asked in api.plans)


def test_a_dry_run_reads_as_commands_money_stock_and_outcome(ctl: Any, capsys: Any) -> None:
    assert ctl("cancel", "O-1", "--dry-run") == Exit.OK
    told = capsys.readouterr().out
    for words in (
        "would be accepted",
        "inventory.release-stock.v1 on inventory.commands.v1",
        "refund 12.50 GBP",
        "release MUG x 2",
        "outcome  CANCELLED",
    ):
        assert words in told


def test_a_dry_run_under_a_command_id_asks_whether_that_was_said_before(ctl: Any, api: type[Answers]) -> None:
    ctl("cancel", "O-1", "--dry-run", "--command-id", "c-1")
    assert (api.plans[0]["id"], api.plans[0]["source"]) == ("c-1", "orderctl")


def test_an_operator_cancels_on_the_operators_topic_by_name(ctl: Any, shop: Shop) -> None:
    assert ctl("cancel", "O-1", "--operator", "op", "--reason", "ticket 7") == Exit.OK
    assert ctl("cancel", "O-2") == Exit.OK
    assert shop.commands == [("cancel-by-operator", "O-1"), ("cancel-order", "O-2")]


# --- many orders ------------------------------------------------------------------------------------------------------


def test_every_order_has_its_receipt_and_those_that_ended_are_left_out(
    ctl: Any, shop: Shop, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "run.jsonl"
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path), "--json") == Exit.OK
    assert shop.commands == [("cancel-by-operator", f"O-{number}") for number in range(5)]
    (told,) = lines(capsys)
    assert (told["orders"], told["accepted"], told["left"], told["receipts"]) == (5, 5, 0, str(path))
    receipts = receipts_in(path)
    assert sorted(receipt["order_id"] for receipt in receipts) == [f"O-{number}" for number in range(5)]
    assert {receipt["verdict"] for receipt in receipts} == {"accepted"}
    assert all(receipt["at"] and receipt["command_id"] for receipt in receipts)


def test_a_refusal_is_a_receipt_with_its_reason_and_the_run_exits_5(ctl: Any, tmp_path: Path, capsys: Any) -> None:
    ids, path = tmp_path / "ids", tmp_path / "run.jsonl"
    ids.write_text("# those of Monday\nO-1\n\nOLD\nO-1\nNOBODY\n")
    assert cancel(ctl, "--ids", str(ids), "--yes", "--receipts", str(path)) == Exit.REJECTED
    told = {receipt["order_id"]: (receipt["verdict"], receipt["reason"]) for receipt in receipts_in(path)}
    assert told == {
        "O-1": ("accepted", None),
        "OLD": ("rejected", "too-late"),
        "NOBODY": ("rejected", "unknown-order"),
    }
    capsys.readouterr()
    assert cancel(ctl, "--ids", str(ids), "--yes", "--receipts", str(path)) == Exit.REJECTED, "nothing is left to do"
    assert "before     3 (2 rejected)" in capsys.readouterr().out


def test_the_filters_are_the_api_s(ctl: Any, api: type[Answers]) -> None:
    cancel(
        ctl, "--status", "COMPLETED", "--waiting-for", "refund", "--customer", "c", "--older-than", "2h", "--dry-run"
    )
    (query,) = api.queries
    assert (query["status"], query["waiting_for"], query["customer"]) == (["COMPLETED"], ["refund"], ["c"])
    assert query["created_before"][0].endswith("+00:00")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ((), "--status"),
        (("--ids", "no-such-file"), "no-such-file"),
        (("--status", "PAYING", "--ids", "x"), "cannot be combined"),
        (("--older-than", "soon"), "as in 2h"),
        (("--status", "PAYING", "--operator", ""), "operator"),
    ],
)
def test_a_selection_that_makes_no_sense_exits_2_and_sends_nothing(
    ctl: Any, shop: Shop, capsys: Any, arguments: tuple[str, ...], advice: str
) -> None:
    assert cancel(ctl, *arguments, "--yes") == Exit.USAGE
    assert advice in capsys.readouterr().err
    assert not shop.commands


def test_a_file_with_something_else_than_ids_is_refused_by_its_line(ctl: Any, tmp_path: Path, capsys: Any) -> None:
    ids = tmp_path / "ids"
    ids.write_text(f"O-1\n{'x' * 65}\n")
    assert cancel(ctl, "--ids", str(ids), "--yes") == Exit.USAGE
    assert "Line 2" in capsys.readouterr().err


def test_without_yes_the_count_and_a_sample_are_shown_and_the_answer_decides(
    ctl: Any, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for typed, sent in (("", False), ("n\n", False), ("y\n", True)):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert cancel(ctl, "--customer", "c") == (Exit.OK if sent else Exit.USAGE)
        told = capsys.readouterr()
        assert "cancel-by-operator: 5 orders." in told.err
        assert "refund 12.50 GBP" in told.err
        assert bool(shop.commands) is sent
        assert len(list(tmp_path.glob("bulk-cancel-by-operator-*.jsonl"))) == sent
    assert "--yes" not in told.err


def test_a_dry_run_over_many_sums_up_what_each_would_move(ctl: Any, shop: Shop, tmp_path: Path, capsys: Any) -> None:
    ids = tmp_path / "ids"
    ids.write_text("\n".join([*shop.status, "NOBODY"]))
    assert cancel(ctl, "--ids", str(ids), "--dry-run", "--json") == Exit.REJECTED
    assert lines(capsys) == [
        {
            "kind": "bulk-plan",
            "orders": 7,
            "accepted": 5,
            "undecided": 0,
            "rejected": {"too-late": 2},
            "outcomes": {"CANCELLED": 5, "COMPLETED": 1, "no such order": 1},
            "money": [{"kind": "refund", "currency": "GBP", "amount_minor": 6250}],
            "stock": [{"kind": "release", "sku": "MUG", "quantity": 10}],
            "unpriced": 0,
        }
    ]
    assert cancel(ctl, "--customer", "c", "--dry-run") == Exit.OK
    assert "refund 62.50 GBP" in capsys.readouterr().out
    assert not shop.commands
    assert not list(tmp_path.glob("*.jsonl"))


# --- going on ---------------------------------------------------------------------------------------------------------


def test_what_has_no_receipt_is_sent_again_under_the_same_id_and_nothing_else_is(
    ctl: Any, shop: Shop, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "run.jsonl"
    ids = sent_ids(shop)
    shop.deaf_to = {"orders.cancel-by-operator.v1"}
    again = ("--customer", "c", "--yes", "--receipts", str(path), "--timeout", "0.1")
    assert cancel(ctl, *again) == Exit.TIMEOUT
    assert "--receipts" in capsys.readouterr().err
    assert receipts_in(path) == []
    shop.deaf_to = set()
    shop.status["NEW"] = "AWAITING_APPROVAL"
    assert cancel(ctl, *again, "--json") == Exit.OK
    assert len(ids) == 10
    assert ids[:5] == ids[5:], "the same orders under the same ids; an order that came later is not among them"
    assert cancel(ctl, *again, "--json") == Exit.OK
    first, second = lines(capsys)
    assert (first["accepted"], second["accepted"], second["before"]) == (5, 0, 5)
    assert len(ids) == 10


def sent_ids(shop: Shop) -> list[str]:
    """The ids of the commands that are published from now on."""
    ids: list[str] = []
    hear = shop.transport._react

    def noting(record: Record) -> None:
        ids.append(json.loads(record.value or b"")["id"])
        hear(record)

    shop.transport._react = noting
    return ids


def test_a_receipt_that_was_half_written_is_asked_for_again_as_a_duplicate(
    ctl: Any, shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path)) == Exit.OK
    path.write_bytes(path.read_bytes()[:-20])
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path)) == Exit.OK
    receipts = receipts_in(path)
    assert [receipt["duplicate"] for receipt in receipts] == [False] * 4 + [True]
    assert len(shop.commands) == 6


@pytest.mark.parametrize("other", ["reason", "verb", "file"])
def test_receipts_of_something_else_are_not_gone_on_with(
    ctl: Any, shop: Shop, tmp_path: Path, capsys: Any, other: str
) -> None:
    path = tmp_path / "run.jsonl"
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path)) == Exit.OK
    verb, reason = ("pause" if other == "verb" else "cancel"), ("ticket 8" if other == "reason" else "ticket 7")
    if other == "file":
        path.write_text('{"not": "receipts"}\n')
    before = path.read_bytes()
    said = ("bulk", verb, "--operator", "op", "--reason", reason, "--customer", "c", "--receipts", str(path), "--yes")
    assert ctl(*said) == Exit.USAGE
    assert str(path) in capsys.readouterr().err.replace("\n", "")
    assert path.read_bytes() == before
    assert len(shop.commands) == 5


def test_two_runs_do_not_share_a_file_of_receipts(tmp_path: Path) -> None:
    path, data = tmp_path / "run.jsonl", CancelByOperator(operator="op", reason="ticket 7")
    run, other = new_run(data, ("O-1",)), new_run(data, ("O-1",))
    assert run.command("O-1", data).id != other.command("O-1", data).id
    with ReceiptFile(path, run), pytest.raises(UsageError, match="is writing"), ReceiptFile(path, run):
        pass
    with pytest.raises(UsageError, match="meanwhile"), ReceiptFile(path, other):
        pass
    assert read_run(path, data) == (run, {})


def test_what_is_no_file_takes_no_receipts(ctl: Any, shop: Shop, tmp_path: Path, capsys: Any) -> None:
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(tmp_path)) == Exit.USAGE
    assert "is no file" in capsys.readouterr().err.replace("\n", " ")
    assert not shop.commands


def test_a_run_whose_receipts_cannot_be_kept_stops_and_says_what_to_do(
    ctl: Any, shop: Shop, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "run.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        code = cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == Exit.ERROR
    assert "Make room" in capsys.readouterr().err.replace("\n", " ")
    before = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1].count(b"\n") - 1
    assert 0 < before < 5
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path)) == Exit.OK
    assert sorted(receipt["order_id"] for receipt in receipts_in(path)) == [f"O-{number}" for number in range(5)]


def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(
    ctl: Any, shop: Shop, tmp_path: Path, capsys: Any
) -> None:
    path, hear = tmp_path / "run.jsonl", shop.transport._react

    def interrupted_at_the_second(record: Record) -> None:
        hear(record)
        if len(shop.commands) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    shop.transport._react = interrupted_at_the_second
    said = ("bulk", "cancel", *REASON, "--customer", "c", "--yes", "--receipts", str(path), "--json")
    assert ctl(*said, "--rate", "10") == Exit.INTERRUPTED
    told = capsys.readouterr()
    assert "goes on there" in told.err
    result = json.loads(told.out)
    assert result["stopped"]
    assert result["accepted"] == len(receipts_in(path)) == len(shop.commands) < 5
    assert ctl(*said, "--rate", "1000") == Exit.OK
    assert sorted(receipt["order_id"] for receipt in receipts_in(path)) == [f"O-{number}" for number in range(5)]
    assert len(shop.commands) == 5


def test_a_second_ctrl_c_leaves_at_once(ctl: Any, shop: Shop, tmp_path: Path, capsys: Any) -> None:
    path, hear = tmp_path / "run.jsonl", shop.transport._react

    def interrupted_twice(record: Record) -> None:
        hear(record)
        if len(shop.commands) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    shop.transport._react = interrupted_twice
    shop.deaf_to = {"orders.cancel-by-operator.v1"}
    began = time.monotonic()
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path), "--timeout", "60") == Exit.INTERRUPTED
    assert time.monotonic() - began < 30
    assert "Ctrl-C again leaves at once" in capsys.readouterr().err
    shop.deaf_to, shop.transport._react = set(), hear
    assert cancel(ctl, "--customer", "c", "--yes", "--receipts", str(path)) == Exit.OK


def test_where_nobody_answers_the_run_gives_up(ctl: Any, shop: Shop, capsys: Any) -> None:
    shop.status = {f"O-{number}": "AWAITING_APPROVAL" for number in range(300)}
    shop.deaf_to = {"orders.cancel-by-operator.v1"}
    assert cancel(ctl, "--customer", "c", "--yes", "--timeout", "0.2") == Exit.TIMEOUT
    assert GIVE_UP_AFTER <= len(shop.commands) < 300
    assert "make status" in capsys.readouterr().err


ASKS = """
from pathlib import Path
import typer
from contracts.orders import CancelByOperator
from orderctl.bulk.receipts import new_run
from orderctl.bulk.report import Job
from orderctl.commands.bulk import _confirm
run = new_run(CancelByOperator(operator="op", reason="r"), ("O-1",))
typer.run(lambda: _confirm(Job(run, {}, Path("x"), False)))
"""


def test_ctrl_c_at_the_question_leaves_at_once_with_130() -> None:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen([sys.executable, "-c", ASKS], stdin=theirs, stderr=subprocess.PIPE)
    try:
        assert asking.stderr is not None
        assert b"1 orders?" in asking.stderr.read1()
        asking.send_signal(signal.SIGINT)
        assert asking.wait(timeout=20) == Exit.INTERRUPTED
    finally:
        asking.kill()
        os.close(ours)
        os.close(theirs)
