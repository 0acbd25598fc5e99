"""The system page waits for nothing that takes long: neither for a count of all orders under way nor for a connection to Kafka."""

from __future__ import annotations

import pytest
from jinja2 import Environment, FileSystemLoader

from services.console.app import HERE


@pytest.mark.parametrize("part", ["versions", "topics"])
def test_what_takes_long_is_asked_for_by_the_pages_script_and_linked_for_who_has_none(part: str) -> None:
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    html = templates.get_template("system.html").render(services=[], policies=[], path="/system", viewers=0)
    assert f'data-part="/system/{part}" data-from="{part}"' in html
    assert f'href="/system/{part}"' in html
    page = templates.get_template(f"{part}.html").render(unknown="no answer", path=f"/system/{part}")
    assert f'id="{part}"' in page
    assert "no answer" in page
