"""What was done through the console, by whom and why; each act on a page of its own, first as a plan, then with what came of it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.console import story
from services.console.access import Who, require
from services.console.act_store import LISTED
from services.console.domain import NEEDS
from services.console.pages import page, tell
from services.console.pages_actions import TITLES, where_of
from services.console.pages_letters import ACTS, letters_of
from services.console.store import Person
from services.console.wiring import console_of

router = APIRouter()

#: More digits than any id has.
_DIGITS: Final = 18


@router.get("/acts")
async def acts(request: Request, person: Who, before: str = "") -> Response:
    """The newest acts; those before one that was seen already."""
    found = await console_of(request).acts.newest(_number(before))
    older = found[-1]["id"] if len(found) == LISTED else None
    return page(request, person, "acts.html", acts=story.acts(found, person.role), before=before, older=older)


@router.get("/acts/{act_id}")
async def act(request: Request, act_id: str, person: Who) -> Response:
    """One act: its plan while it is one, then its verdict."""
    require(person, "see-acts")
    number = _number(act_id)
    found = None if number is None else await console_of(request).acts.find(number)
    if found is None:
        return tell(request, person, 404, "No such act", f"There is no act {act_id}. A plan is kept for a day.")
    return page(request, person, _template(found), **_facts(request, found, person))


def _template(act: dict[str, Any]) -> str:
    if act["plan"] is None or act["action"] in NEEDS:
        return "plan.html" if act["state"] == "planned" else "verdict.html"
    return "letters_plan.html" if act["state"] == "planned" else "letters_done.html"


def _facts(request: Request, act: dict[str, Any], person: Person) -> dict[str, Any]:
    mine = (act["account"], act["role"]) == (person.name, person.role)
    facts = {"act": act, "action": act["action"], "plan": act["plan"], "verdict": act["verdict"], "mine": mine}
    if act["action"] in NEEDS:
        return {**facts, "title": TITLES[act["action"]], "where": where_of(request, act["action"], act["target"])}
    if act["plan"] is None:
        return {**facts, "title": act["action"].capitalize(), "where": ""}
    word = act["asked"]["act"]
    return {**facts, "word": word, "title": f"{ACTS[word]} dead letters", "list_": letters_of(request)}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
