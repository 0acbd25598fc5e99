"""The system page waits for nothing that takes long, and says of who tells no progress whether it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from console_pages import html_of, words_of
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CollectorRegistry

from contracts.metrics import CONSUMER_LAG
from messaging.http import make_app, problems
from orderctl.doctor.facts import ServiceFacts
from services.console.app import HERE
from services.console.pages_system import ask_others, cards, lag_of
from services.console.settings import load_settings
from services.console.watch import Look

LEARNER = "recommendation-learner"
EVIL = "<script>alert(1)</script>"


@pytest.mark.parametrize("part", ["versions", "topics"])
def test_what_takes_long_is_asked_for_by_the_pages_script_and_linked_for_who_has_none(part: str) -> None:
    html = rendered("system.html", services=[], policies=[], path="/system", viewers=0)
    assert f'data-part="/system/{part}" data-from="{part}"' in html
    assert f'href="/system/{part}"' in html
    page = rendered(f"{part}.html", unknown="no answer", path=f"/system/{part}")
    assert f'id="{part}"' in page
    assert "no answer" in page


def rendered(name: str, **told: object) -> str:
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    return templates.get_template(name).render(**told)


# --- who tells no progress ----------------------------------------------------------------------------------------------


def ours(service: str, version: object = "0abc123", ready: bool = True) -> web.Application:
    """A process as `messaging.http` makes it."""

    async def fine() -> bool:
        return ready

    about = {"service": service, "identity": f"{service}-worker-1", "version": version}
    return make_app((), CollectorRegistry(), fine, lambda: True, about)


def foreign(answer: Callable[[], web.Response]) -> web.Application:
    """Something else that listens there."""

    async def readyz(_: web.Request) -> web.Response:
        return answer()

    app = web.Application(middlewares=[problems])
    app.add_routes([web.get("/readyz", readyz)])
    return app


@asynccontextmanager
async def listening(app: web.Application | None) -> AsyncIterator[str]:
    """Its address; without an application, one where nobody listens."""
    if app is None:
        yield f"http://127.0.0.1:{unused_port()}"
        return
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def asked(
    api: web.Application | None, learner: web.Application | None, timeout_s: float = 20
) -> tuple[ServiceFacts, ...]:
    async with listening(api) as api_url, listening(learner) as learner_url:
        settings = load_settings({"ORDERS_API_URL": api_url, "RECOMMENDATION_LEARNER_URL": learner_url})
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
            return await ask_others(session, settings)


def shown(found: tuple[ServiceFacts, ...]) -> str:
    services = cards(found)
    ill = [service["name"] for service in services if not service["well"]]
    return rendered("system.html", services=services, ill=ill, policies=[], path="/system", viewers=0)


async def test_who_is_ready_is_well_and_tells_its_code() -> None:
    html = shown(await asked(ours("orders"), ours(LEARNER, "fff9999")))
    assert "Every service is well" in html
    for name, version in (("orders-api", "0abc123"), (LEARNER, "fff9999")):
        card = html.partition(f'aria-labelledby="s-{name}"')[2].partition("</section>")[0]
        assert f"version <code>{version}</code>, ready<" in card
        assert ">well<" in card


async def test_who_is_not_ready_is_not_well_and_the_page_says_what_it_waits_for() -> None:
    html = shown(await asked(ours("orders", ready=False), ours(LEARNER, ready=False)))
    assert f"Not well: orders-api, {LEARNER}." in html
    assert "Not ready: its database does not answer." in html
    assert "Not ready: its partitions or its table are not read yet." in html
    assert html.count("version <code>0abc123</code>, not ready") == 2


@pytest.mark.parametrize(
    ("app", "cause"),
    [
        (None, "connection refused"),
        (foreign(lambda: web.Response(text="<h1>It works</h1>")), "it answered 200 to /readyz"),
        (foreign(lambda: web.json_response([])), "it answered 200 to /readyz"),
        (foreign(lambda: web.json_response({"ready": EVIL})), "it answered 200 to /readyz"),
        (foreign(lambda: web.json_response({"ready": True}, status=503)), "it answered 503 to /readyz"),
        (foreign(lambda: web.Response(status=503)), "it answered 503 to /readyz, and not who it is"),
        (web.Application(), "it answered 404 to /readyz"),
        (ours("payment"), f"it is no process of {LEARNER}: payment answers there"),
        (ours(EVIL), "&lt;script&gt;"),
    ],
    ids=["nobody", "a-page", "a-list", "no-truth", "contradiction", "503", "404", "another", "hostile"],
)
async def test_who_does_not_say_that_it_is_ready_is_not_well_with_the_cause(
    app: web.Application | None, cause: str
) -> None:
    html = shown(await asked(ours("orders"), app))
    assert f"Not well: {LEARNER}." in html
    assert cause in html
    assert EVIL not in html


async def test_what_a_process_says_of_itself_is_shown_as_text() -> None:
    html = shown(await asked(ours("orders", EVIL), ours(LEARNER, {"a": EVIL})))
    assert html.count("&lt;script&gt;") == 2
    assert EVIL not in html


async def test_both_are_asked_at_once_and_nobody_is_waited_for_beyond_the_deadline() -> None:
    both, here = asyncio.Event(), 0

    async def readyz(_: web.Request) -> web.Response:
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await asyncio.Event().wait()
        raise AssertionError

    def silent() -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/readyz", readyz)])
        return app

    html = shown(await asked(silent(), silent(), timeout_s=1))
    assert both.is_set()
    assert f"Not well: orders-api, {LEARNER}." in html
    assert html.count("no answer within 2.5 s") == 2


# --- how far the learner is behind --------------------------------------------------------------------------------------


def look_of(*told: tuple[str, str, float]) -> Look:
    return Look(datetime.now(UTC), {(CONSUMER_LAG.name, (service, topic)): lag for service, topic, lag in told})


def test_the_learners_lag_is_the_watchers_over_all_its_topics_and_nobody_elses() -> None:
    look = look_of((LEARNER, "orders.events.v1", 3.0), (LEARNER, "another", 4.0), ("orders", "orders.events.v1", 50.0))
    assert lag_of(look, LEARNER) == 7


@pytest.mark.parametrize("look", [None, look_of(("orders", "orders.events.v1", 50.0))])
def test_a_lag_that_the_watcher_does_not_tell_is_not_known_and_is_not_nought(look: Look | None) -> None:
    assert lag_of(look, LEARNER) is None


@pytest.mark.parametrize(
    ("lag", "words"),
    [(1_234, "Lag: 1,234 records, as the watcher saw it"), (None, "Lag: not known, the watcher does not tell it")],
)
def test_the_learners_card_alone_tells_that_lag(lag: int | None, words: str) -> None:
    services = [{"name": name, "well": True, "processes": ()} for name in ("orders-api", LEARNER)]
    html = html_of(
        "system.html", services=services, lags={LEARNER: lag}, looked=datetime.now(UTC), policies=[], viewers=0
    )
    card = html.split(f'<h2 id="s-{LEARNER}"')[1]
    assert words in words_of(card)
    assert "Lag:" not in html.split(f'<h2 id="s-{LEARNER}"')[0]
