"""Who is it, and may they? Cookies, CSRF, where requests come from, and how often somebody may try to log in."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request, Response

from services.console.domain import may
from services.console.store import Person
from services.console.wiring import Console, console_of

COOKIE: Final = "console_session"
#: No script but our own file, no style but our own file, nothing from elsewhere, no frame around us.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_SAFE: Final = frozenset({"GET", "HEAD"})
TRIES: Final = 5
WINDOW_S: Final = 60.0


class LoginRequiredError(Exception):
    """Nobody is logged in, or the password has to be changed first; `where` is the page to go to."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class Attempts:
    """At most `TRIES` failed log-ins per name and per address within `WINDOW_S`."""

    def __init__(self) -> None:
        self._failed: defaultdict[str, deque[float]] = defaultdict(deque)

    def too_many(self, keys: tuple[str, ...], now_s: float) -> bool:
        """Whether one of them has to wait."""
        for key in keys:
            failed = self._failed[key]
            while failed and now_s - failed[0] > WINDOW_S:
                failed.popleft()
            if not failed:
                del self._failed[key]
            elif len(failed) >= TRIES:
                return True
        return False

    def failed(self, keys: tuple[str, ...], now_s: float) -> None:
        """One more."""
        for key in keys:
            self._failed[key].append(now_s)


async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Around every request: what changes anything must come from our own pages; every answer carries the policy."""
    console = console_of(request)
    # Before anything is read: what happens from here on, the page's stream tells.
    request.state.heard = console.hub.mark
    if request.method not in _SAFE and not _from_here(request, console):
        answer = Response("This request does not come from the console's own pages.", 403, media_type="text/plain")
    else:
        answer = await call_next(request)
    with_policy(answer)
    if not request.url.path.startswith("/static/"):
        answer.headers["Cache-Control"] = "no-store"
    return answer


def with_policy(answer: Response) -> Response:
    """The answer, with what the browser may do with it."""
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["X-Frame-Options"] = "DENY"
    return answer


def _from_here(request: Request, console: Console) -> bool:
    origin = request.headers.get("origin")
    if origin is None:
        return False
    return origin == (console.settings.origin or f"{request.url.scheme}://{request.headers.get('host', '')}")


async def logged_in(request: Request) -> Person:
    """The person, for pages. Raises `LoginRequiredError`."""
    person = await _person(request)
    if person is None:
        raise LoginRequiredError("/login")
    if person.one_time:
        raise LoginRequiredError("/password")
    return person


async def _person(request: Request) -> Person | None:
    token = request.cookies.get(COOKIE)
    console = console_of(request)
    return None if token is None else await console.store.person(token, console.now())


async def anybody_known(request: Request) -> Person:
    """Like `logged_in`, also with a one-time password: for the page that changes it."""
    person = await _person(request)
    if person is None:
        raise LoginRequiredError("/login")
    return person


async def checked_form(request: Request) -> dict[str, str]:
    """The form of a logged-in person, once its CSRF token is right. Raises 403."""
    person = await _person(request)
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    if person is None or not secrets.compare_digest(form.get("csrf", ""), person.csrf):
        raise HTTPException(403, "The form is too old: load the page again.")
    return form


def require(person: Person, action: str) -> None:
    """Raises 403 where the role is not enough."""
    if not may(person.role, action):
        raise HTTPException(403, f"Your role ({person.role}) is not enough for: {action}.")


Who = Annotated[Person, Depends(logged_in)]
Form = Annotated[dict[str, str], Depends(checked_form)]
Anything = dict[str, Any]
