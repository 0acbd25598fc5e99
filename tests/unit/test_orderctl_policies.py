"""`orderctl policies`, from the arguments to what stands on stdout, over a real HTTP server."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orderctl import main
from services.orders.api.policies import table
from services.orders.domain.policies import DEFAULTS

IN_EFFECT = table(replace(DEFAULTS, charge=replace(DEFAULTS.charge, maximum_attempts=7)))


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert self.path == "/policies"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"items": IN_EFFECT, "next": None}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's stderr."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("ORDERS_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("COLUMNS", "200")
        yield
        server.shutdown()


def ctl(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["orderctl", *arguments])
    with pytest.raises(SystemExit) as left:
        main.main()
    return int(left.value.code or 0)


@pytest.mark.usefixtures("api")
def test_json_is_the_apis_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(monkeypatch, "policies", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"items": IN_EFFECT, "next": None}


@pytest.mark.usefixtures("api")
def test_people_see_what_a_setting_has_changed_and_from_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ctl(monkeypatch, "policies") == 0
    lines = capsys.readouterr().out.splitlines()
    (charge,) = [line for line in lines if line.split()[:1] == ["charge"]]
    assert "7 (not 5)" in charge
    assert sum("(not " in line for line in lines) == 1


def test_an_api_that_is_away_exits_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ORDERS_API_URL", "http://127.0.0.1:1")
    assert ctl(monkeypatch, "policies") == 1
    assert "ORDERS_API_URL" in capsys.readouterr().err
