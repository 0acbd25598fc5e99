"""Logging in and out, passwords, accounts."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from contracts.values import is_id
from orderctl.errors import UsageError
from services.console.access import COOKIE, WINDOW_S, Form, Who, anybody_known, password_fits
from services.console.aside import OneTime
from services.console.domain import ROLES
from services.console.pages import onward, page, reason_given, refuse, refused, tell
from services.console.store import Person
from services.console.wiring import console_of

router = APIRouter()

SHORTEST: Final = 10
LONGEST: Final = 1000
Known = Annotated[Person, Depends(anybody_known)]


@router.get("/login")
async def login_form(request: Request) -> Response:
    """The log-in page."""
    return page(request, None, "login.html")


@router.post("/login")
async def login(request: Request) -> Response:
    """Log in. Where it comes from was looked at already; there is no session yet whose token could be asked for."""
    console, form = console_of(request), await request.form()
    name, password = str(form.get("name", ""))[:64], str(form.get("password", ""))[:LONGEST]
    fits = await password_fits(request, name, password)
    if fits is None:
        return _wait(page(request, None, "login.html", 429, error="Too many failed log-ins; wait a minute."))
    if not fits:
        return page(request, None, "login.html", 403, error="Name and password do not match.")
    token = await console.store.open_session(name, console.now(), console.settings.session_hours)
    answer = RedirectResponse("/orders", 303)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=console.settings.session_hours * 3600,
        httponly=True,
        samesite="strict",
        secure=console.settings.secure,
    )
    return answer


def _wait(answer: Response) -> Response:
    answer.headers["Retry-After"] = f"{WINDOW_S:.0f}"
    return answer


@router.post("/logout")
async def logout(request: Request, form: Form) -> Response:
    """End the session."""
    console = console_of(request)
    await console.store.end_session(request.cookies.get(COOKIE, ""), console.now())
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/password")
async def password_form(request: Request, person: Known) -> Response:
    """The page to choose a password."""
    return page(request, person, "password.html")


@router.post("/password")
async def password(request: Request, person: Known, form: Form) -> Response:
    """A password of one's own. All sessions of the account end."""
    store = console_of(request).store
    fresh = form.get("fresh", "")
    if not SHORTEST <= len(fresh) <= LONGEST or fresh != form.get("again"):
        problem = f"The new password needs {SHORTEST} to {LONGEST:,} characters, twice the same."
        return page(request, person, "password.html", 400, error=problem)
    fits = await password_fits(request, person.name, form.get("password", "")[:LONGEST])
    if fits is None:
        return _wait(page(request, person, "password.html", 429, error="Too many wrong passwords; wait a minute."))
    if not fits:
        return page(request, person, "password.html", 403, error="That is not your present password.")
    await store.set_password(person.name, fresh)
    return RedirectResponse("/login", 303)


@router.get("/accounts")
async def accounts(request: Request, person: Who) -> Response:
    """Who may log in; operators alone see and change it."""
    if person.role != "operator":
        return _not_yours(request, person)
    console, before = console_of(request), refused(request, person)
    token = request.query_params.get("made")
    made = None if token is None else console.aside.one_time(person, token)
    return page(
        request,
        person,
        "accounts.html",
        before.status,
        error=before.error,
        filled=before.filled,
        made=made,
        gone=token is not None and made is None,
        accounts=await console.store.accounts(),
        roles=ROLES,
    )


@router.post("/accounts")
async def put_account(request: Request, person: Who, form: Form) -> Response:
    """A new account, or another role and password for one; its one-time password is shown once."""
    name, role = form.get("name", "").strip(), form.get("role", "")
    if person.role != "operator":
        return _not_yours(request, person)
    if not is_id(name) or role not in ROLES:
        return refuse(request, person, "/accounts", form, "A name of 1 to 64 characters and a role are needed.", 400)
    try:
        reason_given(form)
    except UsageError as error:
        return refuse(request, person, "/accounts", form, error)
    console, by = console_of(request), (person.name, person.role)
    made = OneTime(name, await console.store.put_account(name, role, by, form["reason"].strip()))
    return RedirectResponse(onward("/accounts", made=console.aside.put(person, made)), 303)


def _not_yours(request: Request, person: Person) -> Response:
    return tell(request, person, 403, "Not for your role", "Accounts are the operators'.")
