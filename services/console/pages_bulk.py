"""The same action on every order that a filter finds: count and plan first, then progress, a receipt per order, a stop button."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from orderctl.bulk.run import AT_ONCE
from orderctl.bulk.selection import select
from orderctl.command import new_command
from orderctl.errors import OrderctlError, UsageError
from services.console.access import Form, Who, require
from services.console.act_store import Act
from services.console.bulk import MOST, filters_in_words
from services.console.bulk_store import Meant
from services.console.pages import onward, page, reason_given, refuse, refused, tell
from services.console.pages_actions import MAKE, SOURCE, TITLES
from services.console.pages_orders import FILTERS, list_of, list_query, selection_of, spreadsheet_safe
from services.console.store import Person
from services.console.wiring import Console, console_of

router = APIRouter()

#: What can be said to many: what `orderctl bulk` can.
ACTIONS: Final = ("cancel", "retry-now", "pause", "resume", "resolve")
RATES: Final = (10.0, 50.0, 200.0)
SHOWN: Final = 200


@router.get("/bulk")
async def ask(request: Request, person: Who) -> Response:
    """The form: what, and why; and the runs there were."""
    require(person, "bulk")
    before = refused(request, person)
    asked = dict(request.query_params)
    kept = {name: asked[name] for name in FILTERS if asked.get(name)}
    return page(
        request,
        person,
        "bulk.html",
        before.status,
        error=before.error,
        kept=kept,
        filled=before.filled,
        about=filters_in_words(kept),
        actions={action: TITLES[action] for action in ACTIONS},
        rates=RATES,
        runs=await console_of(request).bulks.store.runs(),
        back=list_query(request.url.query),
        list_=list_of(request.url.query),
    )


@router.post("/bulk")
async def plan(request: Request, person: Who, form: Form) -> Response:
    """Choose the orders and begin to plan. Nothing is sent."""
    require(person, "bulk")
    console = console_of(request)
    filled = {name: value.strip() for name, value in form.items() if name != "csrf"}
    # Both are called so: why the orders ended, and why this is done.
    asked = {**filled, "reason": filled.get("ended_for", "")}
    try:
        reason_given(filled)
        action = _action_of(filled)
        data = new_command("-", lambda: MAKE[action](person, filled), None, SOURCE).data
        chosen = selection_of(asked)
        order_ids = await select(chosen, console.apis, console.now(), MOST)
        if not order_ids:
            _refuse("No order fits the filter: there is nothing to do.")
    except (OrderctlError, ValueError) as error:
        return refuse(request, person, list_of(filled.get("back") or urlencode(asked), "/bulk"), filled, error)
    rate = float(filled["rate"]) if filled.get("rate") in {str(rate) for rate in RATES} else RATES[0]
    meant = Meant(person.name, person.role, action, filled["reason"], filters_in_words(asked), rate)
    run_id = await console.bulks.plan(data, order_ids, meant)
    return RedirectResponse(onward(f"/bulk/{run_id}", back=filled.get("back", "")), 303)


@router.get("/bulk/{run_id}.csv")
async def receipts(request: Request, run_id: str, person: Who) -> Response:
    """Every receipt of a run."""
    require(person, "bulk")
    rows = await console_of(request).bulks.store.last(run_id, MOST)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    columns = ("order_id", "command_id", "verdict", "reason", "message", "at")
    writer.writerow(columns)
    writer.writerows([spreadsheet_safe(row[name]) for name in columns] for row in rows)
    headers = {"Content-Disposition": 'attachment; filename="receipts.csv"'}
    return Response(buffer.getvalue(), media_type="text/csv", headers=headers)


@router.get("/bulk/{run_id}")
async def run(request: Request, run_id: str, person: Who) -> Response:
    """The run as it stands."""
    require(person, "bulk")
    bulks = console_of(request).bulks
    # Before it is read: what ends meanwhile is still shown as being at it, and looked at again.
    active = bulks.active(run_id)
    found = await bulks.store.find(run_id)
    if found is None:
        return tell(request, person, 404, "No such run", f"There is no bulk run {run_id}.")
    state = found["state"] if active or found["state"] not in {"running", "planning"} else "interrupted"
    return page(
        request,
        person,
        "bulk_run.html",
        run=found,
        state=state,
        active=active,
        title=TITLES[found["action"]],
        at_once=AT_ONCE,
        planned=bulks.plans.get(run_id, 0),
        rows=await bulks.store.last(run_id, SHOWN),
        list_=list_of(request.query_params.get("back", "")),
        again=list_of(request.query_params.get("back", ""), "/bulk"),
    )


@router.post("/bulk/{run_id}")
async def step(request: Request, run_id: str, person: Who, form: Form) -> Response:
    """Send it, go on, stop, or plan it anew."""
    require(person, "bulk")
    console = console_of(request)
    found = await console.bulks.store.find(run_id)
    if found is None:
        return tell(request, person, 404, "No such run", f"There is no bulk run {run_id}.")
    if form.get("step") == "stop":
        console.bulks.stop(run_id)
        await _record(console, person, found, "stopped by hand")
    elif form.get("step") == "plan":
        await console.bulks.plan_anew(run_id)
    else:

        async def ended(told: str) -> None:
            await _record(console, person, found, told)

        if await console.bulks.go(run_id, ended):
            await _record(console, person, found, f"begun: {found['orders'] - found['receipts']} orders")
    return RedirectResponse(onward(f"/bulk/{run_id}", back=request.query_params.get("back", "")), 303)


async def _record(console: Console, person: Person, run: Mapping[str, Any], outcome: str) -> None:
    act = Act(person.name, person.role, f"bulk {run['action']}", run["run_id"], run["reason"])
    await console.acts.record(act, outcome)


def _action_of(filled: Mapping[str, str]) -> str:
    action = filled.get("action", "")
    if action not in ACTIONS:
        _refuse("Choose what is to be done.")
    return action


def _refuse(why: str) -> None:
    raise UsageError(why)
