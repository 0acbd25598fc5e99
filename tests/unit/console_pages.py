"""The console's templates, rendered with facts as its pages give them, read as who looks at them does."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from jinja2 import Environment, FileSystemLoader

from orderctl.events import short_name
from orderctl.render import money
from services.console.app import HERE
from services.console.pages import link, moment, onward, readable

TEMPLATES = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)


def html_of(template: str, **facts: Any) -> str:
    """The page's HTML, for somebody who may do everything."""
    always = {
        "person": None,
        "may": lambda action: True,
        "path": "/",
        "attention": False,
        "money": money,
        "link": link,
        "short": short_name,
        "moment": moment,
        "readable": readable,
        "onward": onward,
        "back": "",
        "connected": True,
        "heard": "",
    }
    return TEMPLATES.get_template(template).render({**always, **facts})


def words_of(html: str) -> str:
    """What stands on the page, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
