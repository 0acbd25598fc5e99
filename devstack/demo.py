"""`python -m devstack.demo` (`make demo`): real orders through the whole system, every one to its end, and the proof at the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import typer

from devstack.environment import export_lines
from devstack.errors import DevstackError
from devstack.ports import free_offset
from devstack.processes import SERVICES, WATCHER
from devstack.progress import Report
from devstack.settings import CLONE
from devstack.stack import Stack

HOME: Final = CLONE / ".devstack" / "demo"
#: One call in five to the payment gateway fails, so that retries can be seen.
FAILURE_RATE: Final = "0.2"
#: What is bought together is learned behind the orders; so long is waited for it to be known.
LEARNED_WITHIN_S: Final = 20

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Argument(help="A CSV of invoices; without it a small sample is used.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the stack running to look around.")] = False,
) -> None:
    """Start a stack of its own, import the orders, follow each to its end, check that nothing was lost, stop."""
    began = time.monotonic()
    os.environ.setdefault("PAYMENT_FAILURE_RATE", FAILURE_RATE)
    stack = Stack(home=HOME, offset=free_offset(), services=(*SERVICES, WATCHER))
    try:
        stack.down(wipe=True)
        _say("Starting Kafka, PostgreSQL and the services, each a process of its own")
        stack.up(report=_report(began))
        _say(f"The web console: {stack.settings.http_url('console')} ({_how_to_log_in(stack)})")
        code = _drive(stack, data)
    except DevstackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        code = 130
    finally:
        if keep:
            _say("The stack goes on running. To use it:")
            typer.echo(export_lines(stack.environment()))
            typer.echo("# and when you are done: python -m devstack down")
            _say(f"The web console: {stack.settings.http_url('console')} ({_how_to_log_in(stack)})")
            _say(f"The mails: {stack.settings.mail_page_url}")
        else:
            stack.down(wipe=True)
    _say(f"Done in {time.monotonic() - began:.0f} s." if code == 0 else f"Failed with exit code {code}.")
    raise typer.Exit(code)


def _how_to_log_in(stack: Stack) -> str:
    """The console printed the first password, for people; here that is its log."""
    printed = (stack.settings.logs / "console.log").read_text(errors="replace")
    found = re.search(r"one-time password (\S+)", printed)
    return f"log in as admin with {found[1]}; KEEP=1 keeps it" if found else "see docs/console.md for how to log in"


def _drive(stack: Stack, data: Path | None) -> int:
    environment = {**os.environ, **stack.environment()}

    def orderctl(*arguments: str) -> int:
        typer.secho(f"\n$ orderctl {' '.join(arguments)}", bold=True)
        return subprocess.run([sys.executable, "-m", "orderctl", *arguments], env=environment, check=False).returncode

    if data is not None and data.is_file():
        source = str(data)
    else:
        source = str(CLONE / "orderctl" / "importer" / "sample.csv")
        _say(f"{data or 'No file'} is not there: using the small sample {source}")
    code = orderctl("import", source)
    if code != 0:
        return code
    orderctl("list", "--limit", "5")
    code = _one_more(orderctl, environment)
    return orderctl("audit", "--expect-ended") or code


def _one_more(orderctl: Callable[..., int], environment: Mapping[str, str]) -> int:
    """An order of something of which is known by now what it is bought together with, step by step."""
    sku = _recommended_with(environment)
    if sku is None:
        _say("Nothing was bought together, so nothing is recommended.")
        return 0
    _say(f"\nOne more order, of {sku}: what goes well with it was learned from those above")
    code = orderctl("receive-stock", sku, "1") or orderctl(
        "register-customer", "DEMO", "--name", "Demo", "--email", "demo@example.com"
    )
    started = code or orderctl(
        "start", "--item", f"{sku}:1", "--customer", "DEMO", "--order-id", "DEMO-1", "--auto-approve"
    )
    return started or orderctl("history", "DEMO-1")


def _recommended_with(environment: Mapping[str, str]) -> str | None:
    """A SKU of a completed order that the recommendation service knows something about; it learns behind the orders."""
    deadline = time.monotonic() + LEARNED_WITHIN_S
    pairs = f"{environment['RECOMMENDATION_PROCESS_URLS'].split(',')[0]}/pairs"
    orders = _get(f"{environment['ORDERS_API_URL']}/orders?status=COMPLETED&limit=50")
    baskets = [order["items"] for order in orders["items"] if len(order["items"]) > 1]
    skus = list(dict.fromkeys(str(item["sku"]) for basket in baskets for item in basket))
    while skus and time.monotonic() < deadline:
        for sku in skus:
            if (_get(f"{pairs}/{quote(sku, safe='')}") or {}).get("best"):
                return sku
    return None


def _get(url: str) -> Any:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own services
            return json.load(answer)
    except HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return None


def _say(text: str) -> None:
    typer.secho(text, fg="cyan")


def _report(began: float) -> Report:
    def tell(text: str) -> None:
        typer.echo(f"{time.monotonic() - began:5.1f} s  {text}")

    return tell


if __name__ == "__main__":
    app()
