"""Dead letters: grouped by reason, one with its bytes, and how they are sent again or given up, with the plan first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from contracts.letters import Act, Letter
from orderctl.errors import OrderctlError, UsageError
from orderctl.letters.book import DeadLetter, State, Wanted, grouped, type_of
from orderctl.letters.lanes import Lanes, ask_lanes
from orderctl.letters.sending import Result, skipped
from orderctl.letters.showing import hex_lines, waiting_behind
from services.console import act_store
from services.console.access import Form, Who, require
from services.console.domain import masked, may
from services.console.letters import AT_ONCE
from services.console.pages import onward, page, reason_given, refuse, refused, see_act, tell
from services.console.store import Person
from services.console.wiring import Console, console_of

router = APIRouter()

LISTED: Final = 100
#: So much of a record is shown as bytes.
HEX_BYTES: Final = 4096
OPEN: Final = (State.OPEN, State.ASKED)
NO_PLAN: Final = "There is no plan of yours for this. See first which letters would be sent, and send them from there."
#: What says which letters a page of them lists, and which of these an action is about.
LIST: Final = ("service", "topic", "reason_is", "state", "before")
CHOICE: Final = ("service", "topic", "reason_is", "names")
ACTS: Final[Mapping[str, str]] = {"replay": "Replay", "discard": "Discard"}


@router.get("/letters")
async def letters(request: Request, person: Who) -> Response:
    """The groups, and the letters of the one that is looked at."""
    console, asked = console_of(request), dict(request.query_params)
    try:
        found, (lanes, silent) = await asyncio.gather(
            console.letters.all(), ask_lanes(console.settings.client.processes)
        )
    except OrderctlError as error:
        return page(request, person, "letters.html", 502, error=str(error), groups=[], asked=asked)
    groups = grouped(found, {name: int(lane["waiting"]) for name, lane in lanes.items()})
    rows, older = part_of(found, asked)
    return page(
        request,
        person,
        "letters.html",
        groups=[(group, urlencode(_names_of(group))) for group in groups],
        asked=asked,
        back=urlencode([(name, asked[name]) for name in LIST if asked.get(name)]),
        **_links(asked, rows, older),
        rows=[_row(one, lanes, person) for one in rows],
        older=older,
        silent=silent,
    )


def part_of(found: Sequence[DeadLetter], asked: Mapping[str, str]) -> tuple[list[DeadLetter], int]:
    """A page of the letters that are asked for, newest first, and how many older ones there are. `before`: the name of the last one
    of the page before; what is set aside or settled meanwhile moves nothing. `found`: all of them, oldest first."""
    states = tuple(State) if asked.get("state") == "all" else OPEN
    wanted, before = _wanted(asked), asked.get("before")
    end = next((n for n, one in enumerate(found) if str(one.letter) == before), len(found))
    chosen = [one for one in found[:end] if one.state in states and wanted.matches(one)]
    return chosen[::-1][:LISTED], max(0, len(chosen) - LISTED)


def letters_of(request: Request) -> str:
    """The address of the page of letters that somebody came from."""
    kept = [(name, value) for name, value in parse_qsl(request.query_params.get("back", "")) if name in LIST]
    return f"/letters?{urlencode(kept)}" if kept else "/letters"


def _links(asked: Mapping[str, str], rows: Sequence[DeadLetter], older: int) -> dict[str, Any]:
    """To the same letters by state, and to older and newer ones. Every link keeps the filter."""
    group = {name: asked[name] for name in ("service", "topic", "reason_is") if asked.get(name)}
    settled = {**group, "state": "all"}
    here = settled if asked.get("state") == "all" else group
    return {
        "only_open": f"/letters?{urlencode(group)}",
        "also_settled": f"/letters?{urlencode(settled)}",
        "newest": f"/letters?{urlencode(here)}" if asked.get("before") else None,
        "following": f"/letters?{urlencode({**here, 'before': str(rows[-1].letter)})}" if older else None,
    }


@router.get("/letters/one")
async def letter(request: Request, person: Who, name: str) -> Response:
    """One letter: where it came from, why, what was said about it, its headers, text and bytes."""
    console = console_of(request)
    try:
        found = await console.letters.whole([one for one in await console.letters.all() if str(one.letter) == name])
    except OrderctlError as error:
        return tell(request, person, 502, "Kafka does not answer", str(error))
    if not found:
        return tell(request, person, 404, "No such letter", f"There is no dead letter {name}.")
    one = found[0]
    lanes, _ = await ask_lanes(
        {s: urls for s, urls in console.settings.client.processes.items() if s == one.letter.service}
    )
    shown = may(person.role, "see-letters")
    value = one.value or b""
    return page(
        request,
        person,
        "letter.html",
        one=one,
        row=_row(one, lanes, person),
        shown=shown,
        told=[{**told.what.model_dump(mode="json"), "at": told.at} for told in one.told],
        headers=[(n, "" if v is None else v.decode(errors="backslashreplace")) for n, v in one.headers]
        if shown
        else [],
        text=value.decode(errors="backslashreplace") if shown else "",
        hexed="\n".join(hex_lines(value[:HEX_BYTES])) if shown else "",
        size=len(value),
        cut=len(value) > HEX_BYTES,
        open=one.state in OPEN,
        list_=letters_of(request),
    )


@router.get("/letters/{act}")
async def ask(request: Request, act: str, person: Who) -> Response:
    """The form: why."""
    if act not in ACTS:
        return _no_such_action(request, person, act)
    require(person, "letters")
    before = refused(request, person)
    filled = {**{name: value.strip() for name, value in request.query_params.items()}, **before.filled}
    status, error, count = before.status, before.error, 0
    try:
        count = len(_chosen(await console_of(request).letters.all(), filled))
    except UsageError as failure:
        status, error = 400, error or str(failure)
    except OrderctlError as failure:
        if not error:
            return tell(request, person, 502, "Kafka does not answer", str(failure))
    facts = {"act": act, "title": f"{ACTS[act]} dead letters", "filled": filled, "count": count, "error": error}
    return page(request, person, "letters_ask.html", status, **facts, list_=letters_of(request))


@router.post("/letters/{act}")
async def act_on(request: Request, act: str, person: Who, form: Form) -> Response:
    """Make the plan, or say the word that was planned. The act's own page shows what came of it."""
    if act not in ACTS:
        return _no_such_action(request, person, act)
    require(person, "letters")
    word = cast("Act", act)
    filled = {name: value.strip() for name, value in form.items() if name != "csrf"}
    try:
        if filled.get("step") == "send":
            return await _send(request, person, word, filled)
        reason_given(filled)
        return await _plan(request, person, word, filled)
    except OrderctlError as error:
        return refuse(request, person, _where_of(request, act, filled), filled, error)


def _where_of(request: Request, act: str, filled: Mapping[str, str]) -> str:
    """The form for the same letters."""
    chosen = {name: filled[name] for name in CHOICE if filled.get(name)}
    return onward(f"/letters/{act}", **chosen, back=request.query_params.get("back", ""))


async def _plan(request: Request, person: Person, act: Act, filled: Mapping[str, str]) -> Response:
    console = console_of(request)
    chosen = _chosen(await console.letters.all(), filled)
    lanes, _ = await ask_lanes(console.settings.client.processes)
    foreseen = [(one, skipped(one, act, again=False)) for one in chosen[:AT_ONCE]]
    rows = [
        {"name": str(one.letter), "key": one.key_text, "left_out": None if left_out is None else left_out.skipped}
        for one, left_out in foreseen
    ]
    names = [row["name"] for row in rows if row["left_out"] is None]
    behind = sum(waiting_behind(one, lanes) for one, left_out in foreseen if left_out is None)
    plan = {"rows": rows, "behind": behind, "more": max(0, len(chosen) - AT_ONCE)}
    one = len(rows) == 1
    what, target = (f"{act}-letter", rows[0]["name"]) if one else (f"{act}-letters", f"{len(names)} letters")
    planned = act_store.Act(person.name, person.role, what, str(target), filled["reason"], uuid4().hex)
    return see_act(request, await console.acts.plan(planned, {"act": act, "names": names}, plan))


async def _send(request: Request, person: Person, act: Act, filled: Mapping[str, str]) -> Response:
    console = console_of(request)
    planned = await console.acts.planned(person.name, person.role, filled.get("command_id", ""))
    if planned is None or planned["asked"].get("act") != act or not planned["asked"]["names"]:
        return refuse(request, person, _where_of(request, act, filled), filled, NO_PLAN, 409)
    # Looked at again: somebody else may have settled one meanwhile.
    chosen = _chosen(await console.letters.all(), {"names": "\n".join(planned["asked"]["names"])})
    # On record before it is sent; pressed twice it is sent once.
    if await console.acts.sending(planned["id"]):
        left_out = [result for one in chosen if (result := skipped(one, act, again=False)) is not None]
        meant = [one for one in chosen if skipped(one, act, again=False) is None]
        results = [*left_out, *(await _settled(console, person, act, meant, planned["reason"]))]
        rows = [
            {"name": str(result.letter.letter), "outcome": _words(result), "bad": _bad(result)} for result in results
        ]
        told = Counter(_words(result) for result in results)
        outcome = "; ".join(words if len(rows) == 1 else f"{count}: {words}" for words, count in told.most_common())
        await console.acts.told(planned["id"], {"rows": rows}, outcome or "the letters are not there any more")
    return see_act(request, planned["id"])


async def _settled(
    console: Console, person: Person, act: Act, letters: Sequence[DeadLetter], reason: str
) -> list[Result]:
    try:
        return await console.letters.settle(letters, act, person.name, reason)
    except OrderctlError as error:
        # Some may have been sent all the same: that is said, and recorded.
        return [Result(one, error=str(error)) for one in letters]


def _no_such_action(request: Request, person: Person, act: str) -> Response:
    return tell(request, person, 404, "No such action", f"There is no action {act}.")


def _words(result: Result) -> str:
    if result.skipped is not None:
        return f"nothing was sent: {result.skipped}"
    if result.outcome is None:
        return f"not known: {result.error}" if result.error else "it was sent; no answer yet"
    told = {
        "handled": "it is handled",
        "discarded": "it is given up",
        "failed": "it failed again",
        "set-aside": "it failed again and is a new letter",
    }[result.outcome]
    return f"{told}: {result.error}" if result.error else told


def _bad(result: Result) -> bool:
    return result.outcome in {"failed", "set-aside"} or result.outcome is None


def _wanted(asked: Mapping[str, str]) -> Wanted:
    return Wanted(
        service=asked.get("service") or None, topic=asked.get("topic") or None, reason=asked.get("reason_is") or None
    )


def _chosen(found: Sequence[DeadLetter], filled: Mapping[str, str]) -> list[DeadLetter]:
    """The letters that are named, else the open ones of the group; never all by accident. Raises `UsageError`."""
    names = {Letter.parse(line) for line in filled.get("names", "").split()}
    wanted = _wanted(filled)
    if not names and wanted.all:
        raise UsageError("Say which letters: choose a group or a letter on the page of dead letters.")
    return [one for one in found if (one.letter in names if names else one.state in OPEN and wanted.matches(one))]


def _names_of(group: Any) -> dict[str, str]:
    return {"service": group.service, "topic": group.topic, "reason_is": group.reason}


def _row(one: DeadLetter, lanes: Lanes, person: Person) -> dict[str, Any]:
    """A letter's line. Who only looks on sees where it came from and why, and nothing of what it says."""
    shown = may(person.role, "see-letters")
    orders = one.letter.topic.startswith("orders.")
    return {
        "name": str(one.letter),
        "state": one.state.value,
        "key": one.key_text if shown or orders else masked(one.key_text, person.role),
        "order": one.key_text if orders else None,
        "type": type_of(one),
        "reason": one.reason,
        "error": one.error if shown else "",
        "waiting": waiting_behind(one, lanes),
        "at": one.at,
    }
