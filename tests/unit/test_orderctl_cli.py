"""The verbs, from the arguments to the exit code, over an in-memory broker and a real HTTP server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from orderctl_shop import Shop

from messaging.setting import OptionalText, Secret, Setting, Text
from orderctl import cli, main, render
from orderctl.commands import start as start_verb
from orderctl.exits import Exit
from orderctl.importer import SAMPLE, make_plan, read_rows
from orderctl.settings import SETTINGS, Settings

JsonLines = list[dict[str, Any]]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop()
    monkeypatch.setattr(cli, "transport_for", lambda settings: made.transport)
    monkeypatch.setattr(start_verb, "AUTO_APPROVE_AFTER_S", 0.01)
    for name in ("ORDER_ID", "USER_ID", "ASYNC", "AUTO_APPROVE", "WORKFLOW_TYPE", "ORDER_ITEMS", "ORDERS_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return made


def _stock_room(path: str, query: str) -> dict[str, Any]:
    if path == "/skus/MUG":
        return {"sku": "MUG", "unit_price_minor": 799, "currency": "GBP", "on_hand": 5, "held": 4}
    held = {"state": "held", "announced": 0, "held_since": "2026-01-01T00:00:00Z"}
    mug, tea = {"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 9}
    late = {
        **held,
        "order_id": "LATE",
        "reservation_id": "1",
        "expires_at": "2200-01-01T00:00:00Z",
        "items": [mug, tea],
    }
    over = {**held, "order_id": "OVER", "reservation_id": "2", "expires_at": "2026-01-01T00:15:00Z", "items": [mug]}
    old = {**held, "order_id": "OLD", "reservation_id": "3", "expires_at": None, "items": [tea]}
    assert "state=held" in query
    found = [late, {**over, "announced": 2}, *([] if "sku=MUG" in query else [old])]
    return {"items": found[1:], "next": None} if "after=2" in query else {"items": found[:1], "next": "2"}


class Answers(BaseHTTPRequestHandler):
    """Two pages of orders, history that ends, problems for the rest."""

    shop: Shop

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        status, body = self._answer(path, query)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def _answer(self, path: str, query: str) -> tuple[int, dict[str, Any]]:
        order = {"order_id": "A", "status": "COMPLETED", "customer_id": "c", "created_at": "2026-01-01T00:00:00Z"}
        if path == "/orders" and "status=BAD" in query:
            return 400, {"title": "Unknown status", "detail": "status must be one of ..."}
        if path == "/orders":
            second = {**order, "order_id": "B"}
            return 200, {"items": [second], "next": None} if "after=page2" in query else {
                "items": [order],
                "next": "page2",
            }
        if path in {"/skus/MUG", "/reservations"}:
            return 200, _stock_room(path, query)
        if path.endswith("/history"):
            event = {"type": "orders.order-cancelled.v1", "cause": "x", "at": "2026-01-01T00:00:00Z"}
            return 200, {"items": [{**event, "data": {"reason": "approval-timeout"}}], "next": None}
        known = self.shop.status.get(path.removeprefix("/orders/"))
        if known is not None:
            return 200, {**order, "status": known}
        return 404, {"title": "Unknown order", "detail": "There is no order with this id."}

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the test's stderr."""


@pytest.fixture
def api(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    handler = type("Handler", (Answers,), {"shop": shop})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("ORDERS_API_URL", url)
        monkeypatch.setenv("INVENTORY_API_URL", url)
        yield url
        server.shutdown()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `orderctl ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["orderctl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def lines(capsys: pytest.CaptureFixture[str]) -> JsonLines:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def ctl(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Any:
    return lambda *arguments: run(monkeypatch, *arguments)


def test_a_followed_order_ends_with_the_exit_code_of_its_outcome(ctl: Any, shop: Shop, capsys: Any) -> None:
    assert ctl("start", "--item", "MUG:2", "--order-id", "A", "--auto-approve", "--json") == Exit.OK
    told = lines(capsys)
    assert [line["kind"] for line in told] == ["sent", *["event"] * 4, "outcome"]
    assert told[-1] == {
        "kind": "outcome",
        "order_id": "A",
        "outcome": "completed",
        "reason": None,
        "total_minor": 1250,
        "currency": "GBP",
        "exit_code": 0,
    }
    assert ctl("start", "--item", "RARE", "--order-id", "B") == Exit.FAILED
    assert "out-of-stock" in capsys.readouterr().out
    assert shop.commands == [("start-order", "A"), ("approve-payment", "A"), ("start-order", "B")]


def test_the_environment_says_what_flags_do_not(ctl: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("ORDER_ID", "ENV-1"),
        ("AUTO_APPROVE", "true"),
        ("ASYNC", "true"),
        ("ORDER_ITEMS", "MUG:1 CUP:2"),
    ):
        monkeypatch.setenv(name, value)
    assert ctl("start") == Exit.OK
    assert shop.status == {"ENV-1": "COMPLETED"}


def test_an_asynchronous_start_prints_its_verdict_and_nothing_else(ctl: Any, capsys: Any) -> None:
    assert ctl("start", "--item", "MUG", "--order-id", "A", "--async", "--json") == Exit.OK
    (verdict,) = lines(capsys)
    assert (verdict["kind"], verdict["accepted"], verdict["key"]) == ("verdict", True, "A")


def test_a_rejected_command_prints_its_verdict_and_exits_5(ctl: Any, capsys: Any) -> None:
    assert ctl("cancel", "NOBODY", "--json") == Exit.REJECTED
    (verdict,) = lines(capsys)
    assert (verdict["accepted"], verdict["reason"]) == (False, "unknown-order")


def test_a_start_that_was_sent_before_is_followed_from_its_history(ctl: Any, api: str, capsys: Any) -> None:
    again = ("start", "--item", "MUG", "--order-id", "A", "--command-id", "c-1", "--json")
    assert ctl(*again, "--async") == Exit.OK
    capsys.readouterr()
    assert ctl(*again) == Exit.CANCELLED
    assert lines(capsys)[-1]["reason"] == "approval-timeout"


def test_watching_one_order_tells_what_was_before(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("watch", "A") == Exit.CANCELLED
    assert "approval-timeout" in capsys.readouterr().out


def test_no_verdict_in_time_exits_6_and_says_what_to_do(ctl: Any, shop: Shop, capsys: Any) -> None:
    shop.deaf_to = {"orders.approve-payment.v1"}
    assert ctl("approve", "A", "--timeout", "0.1", "--json") == Exit.TIMEOUT
    told = capsys.readouterr()
    assert told.out == ""
    assert "make status" in told.err


def test_without_waiting_the_command_is_sent_and_nothing_awaited(ctl: Any, shop: Shop, capsys: Any) -> None:
    assert ctl("approve", "A", "--no-wait", "--command-id", "c-9", "--json") == Exit.OK
    assert lines(capsys)[0]["command_id"] == "c-9"
    assert shop.commands == [("approve-payment", "A")]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("start",), "--item"),
        (("start", "--item", "MUG:x"), "SKU:QUANTITY"),
        (("start", "--item", "MUG:0"), "quantity"),
        (("start", "--item", "MUG", "--workflow", "dance"), "WORKFLOW_TYPE is order or greet"),
        (("start", "--item", "MUG", "--order-id", "x" * 65), "64 printable"),
        (("import", "no-such-file.csv"), "no-such-file.csv"),
        (("load", "--run-id", "x" * 41), "run_id"),
    ],
)
def test_wrong_arguments_exit_2_and_send_nothing(
    ctl: Any, shop: Shop, capsys: Any, arguments: tuple[str, ...], advice: str
) -> None:
    assert ctl(*arguments) == Exit.USAGE
    assert advice in capsys.readouterr().err
    assert not shop.commands


def refused(capsys: Any) -> str:
    """What was told, and nothing but that: one line, no traceback and no log."""
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return str(line)


@pytest.mark.parametrize("verb", [("approve", "A"), ("status", "A"), ("services",), ("audit",)])
@pytest.mark.parametrize(
    "setting",
    [pytest.param(one, id=one.name) for one in SETTINGS if not isinstance(one, (OptionalText, Secret))],
)
def test_a_bad_setting_exits_2_with_its_name_and_what_it_may_be_before_anything_is_sent(
    shop: Shop, setting: Setting, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(setting.name, " " if isinstance(setting, Text) else "no-good")
    assert run(monkeypatch, *verb) == Exit.USAGE
    told = refused(capsys)
    assert told.startswith(f"orderctl: {setting.name} ")
    assert setting.allowed in told
    assert not shop.commands


@pytest.mark.parametrize(
    ("told", "needed"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SASL_PASSWORD_FILE": "/no/such/file"}, "KAFKA_SASL_PASSWORD_FILE names a file that cannot be read"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "/no/such/file"}, "KAFKA_SSL_CA_FILE must be a file"),
        ({"ORDERS_API_URL_FILE": "/no/such/file"}, "ORDERS_API_URL_FILE names a file that cannot be read"),
    ],
)
def test_settings_that_are_bad_together_exit_2(
    shop: Shop, told: dict[str, str], needed: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, "approve", "A") == Exit.USAGE
    assert needed in refused(capsys)
    assert not shop.commands


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--bootstrap-servers", "KAFKA_BOOTSTRAP_SERVERS"),
        ("--orders-api-url", "ORDERS_API_URL"),
        ("--inventory-api-url", "INVENTORY_API_URL"),
        ("--payment-api-url", "PAYMENT_API_URL"),
    ],
)
def test_a_flag_wins_over_the_environment_and_is_held_to_the_same(
    flag: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    seen: list[Settings] = []

    def look(context: Any) -> Settings:
        seen.append(context.find_object(Settings))
        return seen[-1]

    monkeypatch.setattr(cli, "run", lambda _: None)
    monkeypatch.setattr(cli, "settings_of", look)
    monkeypatch.setenv(name, "no-good")
    monkeypatch.setenv(f"{name}_FILE", "/no/such/file")
    good = "broker:9093" if "SERVERS" in name else "http://elsewhere:1"
    assert run(monkeypatch, flag, good, "status", "A") == Exit.OK
    assert good in repr(seen)
    assert run(monkeypatch, flag, "no-good", "status", "A") == Exit.USAGE
    assert refused(capsys).startswith(f"orderctl: {name} must be ")


def test_stock_can_be_taken_away_with_a_plain_negative_number(ctl: Any, capsys: Any) -> None:
    assert ctl("adjust-stock", "MUG", "-3", "--reason", "broken", "--json") == Exit.OK
    assert lines(capsys)[0]["data"]["delta"] == -3


def test_a_customer_is_erased_by_name_of_an_operator_and_with_a_reason(
    ctl: Any, shop: Shop, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_ID", "user-123")
    # Whom to erase is never taken from the environment.
    assert ctl("erase-customer", "--operator", "op", "--reason", "asked us to") == Exit.USAGE
    assert ctl("erase-customer", "C1", "--operator", "op") == Exit.USAGE
    assert not shop.commands
    capsys.readouterr()
    assert ctl("erase-customer", "C1", "--operator", "op", "--reason", "asked us to", "--json") == Exit.OK
    (verdict,) = lines(capsys)
    assert (verdict["type"], verdict["key"]) == ("customer.customer-erased.v1", "C1")
    assert (verdict["data"]["operator"], verdict["data"]["reason"]) == ("op", "asked us to")
    assert shop.commands == [("erase-customer", "C1")]


def test_a_list_is_one_page_or_all_of_them(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("list", "--json") == Exit.OK
    (page,) = lines(capsys)
    assert ([order["order_id"] for order in page["items"]], page["next"]) == (["A"], "page2")
    assert ctl("list", "--all", "--json") == Exit.OK
    (everything,) = lines(capsys)
    assert [order["order_id"] for order in everything["items"]] == ["A", "B"]


def test_pressure_shows_what_is_held_and_what_is_over_comes_first(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("stock", "--pressure", "--json") == Exit.OK
    (told,) = lines(capsys)
    assert [item["order_id"] for item in told["items"]] == ["OVER", "LATE", "OLD"]
    assert told["skus"] == [
        {"sku": "TEA", "quantity": 18, "orders": 2, "first_expires_at": "2200-01-01T00:00:00Z"},
        {"sku": "MUG", "quantity": 4, "orders": 2, "first_expires_at": "2026-01-01T00:15:00Z"},
    ]
    assert ctl("stock", "--pressure") == Exit.OK
    printed = capsys.readouterr().out
    assert "over: announced 2x" in printed
    assert "no end" in printed


@pytest.mark.parametrize("named", [("MUG",), ("--sku", "MUG")])
def test_the_pressure_on_one_sku_shows_its_lines_alone(ctl: Any, api: str, capsys: Any, named: tuple[str, ...]) -> None:
    assert ctl("stock", "--pressure", *named) == Exit.OK
    printed = capsys.readouterr().out
    assert "MUG: 4 held, 5 left on hand." in printed
    assert "TEA" not in printed


def test_stock_needs_a_sku_or_the_wish_to_see_all(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("stock") == Exit.USAGE
    assert "--pressure" in capsys.readouterr().err
    assert ctl("stock", "MUG", "--sku", "TEA") == Exit.USAGE
    capsys.readouterr()
    assert ctl("stock", "MUG", "--json") == Exit.OK
    assert lines(capsys)[0]["on_hand"] == 5
    assert ctl("stock", "NOTHING", "--pressure") == Exit.NOT_FOUND


def test_a_filter_that_the_api_refuses_is_a_usage_error(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("list", "--status", "BAD") == Exit.USAGE
    assert "status must be one of" in capsys.readouterr().err


def test_an_unknown_order_exits_7(ctl: Any, api: str, capsys: Any) -> None:
    assert ctl("status", "NOBODY", "--json") == Exit.NOT_FOUND
    told = capsys.readouterr()
    assert told.out == ""
    assert "orderctl list" in told.err


def test_an_api_that_is_away_is_named_with_its_setting(ctl: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("ORDERS_API_URL", "http://127.0.0.1:1")
    assert ctl("status", "A") == Exit.ERROR
    assert "ORDERS_API_URL" in capsys.readouterr().err


def test_a_broker_that_is_away_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert (
        run(monkeypatch, "--bootstrap-servers", "127.0.0.1:1", "--connect-timeout", "0.3", "approve", "A") == Exit.ERROR
    )
    told = capsys.readouterr().err
    assert "within 0.3 s" in told
    assert "KAFKA_BOOTSTRAP_SERVERS" in told


def test_an_import_sends_stock_and_customers_before_orders_and_the_second_time_changes_nothing(
    ctl: Any, shop: Shop, api: str, capsys: Any
) -> None:
    plan = make_plan(read_rows(SAMPLE))
    assert ctl("import", "--json") == Exit.OK
    (first,) = lines(capsys)
    kinds = [kind for kind, _ in shop.commands]
    assert kinds.index("start-order") == len(plan.catalogue) + len(plan.customers)
    assert first["orders"]["outcomes"]["completed"] == len(plan.orders) == first["rows"]["invoices_ordered"]
    assert first["rows"]["adds_up"]
    assert not first["imported_before"]
    before = dict(shop.status)
    assert ctl("import") == Exit.OK
    assert "imported before: nothing changed" in capsys.readouterr().out
    assert shop.status == before


def test_load_prints_one_document(ctl: Any, capsys: Any) -> None:
    assert ctl("load", "-n", "25", "--json") == Exit.OK
    (told,) = lines(capsys)
    assert told["outcomes"]["completed"] == 25
    assert told["finished"]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234, "GBP", "12.34 GBP"),
        (5, "GBP", "0.05 GBP"),
        (1234, "JPY", "1234 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (-5, "EUR", "-0.05 EUR"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert render.money(amount, currency) == text


def test_an_item_is_a_sku_and_a_quantity_split_at_the_last_colon() -> None:
    assert cli.parse_item("A:B:3").sku == "A:B"
    assert cli.parse_item("MUG").quantity == 1


def test_text_from_outside_is_not_markup() -> None:
    from orderctl.events import Event

    event = Event("orders.order-failed.v1", "e", "A", None, 1, None, {"reason": "[red]x[/]", "message": "[/nonsense]"})
    assert "\\[red]" in render.event_line(event)


TALKS = """
import typer
from orderctl import cli, render
from orderctl.exits import Exit

async def work():
    for _ in range(10_000):
        SAY
    return Exit.REJECTED

typer.run(lambda: cli.run(work))
"""


@pytest.mark.parametrize("say", ['render.out().print("x" * 100)', 'render.print_json("x" * 100)'])
def test_output_that_nobody_reads_to_its_end_is_no_failure(say: str) -> None:
    program = TALKS.replace("SAY", say)
    talking = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talking.stdout is not None
    assert talking.stdout.readline().strip(b'"').startswith(b"xxx")
    talking.stdout.close()
    assert (talking.wait(timeout=20), talking.stderr and talking.stderr.read()) == (Exit.OK, b"")
