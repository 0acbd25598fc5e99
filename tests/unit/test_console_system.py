"""The system page does not wait for a count of every order under way."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jinja2 import Environment, FileSystemLoader

from orderctl.errors import ApiUnreachableError
from services.console.app import HERE
from services.console.pages_system import _versions
from services.console.wiring import Console


def console(answer: asyncio.Future[list[Any]]) -> Console:
    async def get_all(_: str) -> list[Any]:
        return await answer

    return cast("Console", SimpleNamespace(apis=SimpleNamespace(orders=SimpleNamespace(get_all=get_all))))


async def test_a_count_that_takes_too_long_is_left_to_the_pages_script() -> None:
    assert await _versions(console(asyncio.get_running_loop().create_future()), 0.01) is None


async def test_a_count_that_comes_in_time_stands_on_the_page_and_who_cannot_count_says_so() -> None:
    answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    answer.set_result([{"workflow": "order"}])
    assert await _versions(console(answer), 1) == ([{"workflow": "order"}], "")
    failed: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    failed.set_exception(ApiUnreachableError("orders", "http://127.0.0.1:1", "no answer"))
    versions = await _versions(console(failed), 1)
    assert versions is not None
    assert (versions[0], "no answer" in versions[1]) == ([], True)


@pytest.mark.parametrize(("versions", "asks"), [(None, True), (([], ""), False)])
def test_only_a_page_without_the_count_asks_for_it_and_has_a_link_for_who_has_no_script(
    versions: tuple[list[Any], str] | None, asks: bool
) -> None:
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    html = templates.get_template("system.html").render(
        versions=versions, services=[], topics=[], policies=[], path="/system", viewers=0
    )
    assert ('data-part="/system/versions"' in html) == asks
    assert ('href="/system/versions"' in html) == asks
