"""Who is it, and may they? Cookies, CSRF, where requests come from, and how often somebody may try to log in."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, cast

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
#: So many passwords are looked at or wait for it; who comes on top is sent away at once, before anything is kept of him.
UNDER_WAY: Final = 32


class LoginRequiredError(Exception):
    """Nobody is logged in, or the password has to be changed first; `where` is the page to go to."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class Attempts:
    """At most `TRIES` failed log-ins per name and per address within `WINDOW_S`. A try counts from its beginning until it is
    known to be right: many at once are no way around. What is older than `WINDOW_S` is forgotten."""

    def __init__(self) -> None:
        # By their last try, so that the keys to forget stand first.
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()
        self._under_way = 0

    @property
    def remembered(self) -> int:
        """Of so many names and addresses something is kept."""
        return len(self._tried)

    def begin(self, keys: tuple[str, ...], now_s: float) -> bool:
        """Whether a try may be made; then it counts, and `end` has to follow."""
        self._forget(now_s)
        if self._under_way >= UNDER_WAY or any(self._so_far(key, now_s) >= TRIES for key in keys):
            return False
        self._under_way += 1
        for key in keys:
            self._tried.setdefault(key, deque()).append(now_s)
            self._tried.move_to_end(key)
        return True

    def end(self, keys: tuple[str, ...], began_s: float, *, failed: bool) -> None:
        """The try that began then is over. One that did not fail is undone."""
        self._under_way -= 1
        for key in keys:
            tries = self._tried.get(key)
            if failed or tries is None or began_s not in tries:
                continue
            tries.remove(began_s)
            if not tries:
                del self._tried[key]

    def _so_far(self, key: str, now_s: float) -> int:
        tries = self._tried.get(key, deque())
        while tries and now_s - tries[0] > WINDOW_S:
            tries.popleft()
        return len(tries)

    def _forget(self, now_s: float) -> None:
        while self._tried:
            key, tries = next(iter(self._tried.items()))
            if tries and now_s - tries[-1] <= WINDOW_S:
                return
            del self._tried[key]


async def password_fits(request: Request, name: str, password: str) -> bool | None:
    """Whether it is the account's password; None: there were too many tries, and nobody looked."""
    attempts = cast("Attempts", request.app.state.attempts)
    keys, began_s = (f"name {name}", f"address {request.client.host if request.client else ''}"), time.monotonic()
    if not attempts.begin(keys, began_s):
        return None
    failed = True
    try:
        failed = not await console_of(request).store.check(name, password)
    except Exception:
        # Nobody could look, so it is not held against anyone. (Who hangs up is no such case: that try counts.)
        failed = False
        raise
    finally:
        attempts.end(keys, began_s, failed=failed)
    return not failed


async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Around every request: what changes anything must come from our own pages; every answer carries the policy."""
    console = console_of(request)
    # Before anything is read: what happens from here on, the page's stream tells.
    request.state.heard = console.hub.mark
    refusal = None if request.method in _SAFE else _not_from_here(request, console)
    if refusal is not None:
        answer = Response(refusal, 403, media_type="text/plain")
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


def _not_from_here(request: Request, console: Console) -> str | None:
    """Why it is refused, where it does not come from our own pages."""
    origin = request.headers.get("origin")
    if origin is None:
        return (
            "Nothing was done: the request has no Origin header, which says whose page it comes from. Browsers send it."
        )
    if origin != (console.settings.origin or f"{request.url.scheme}://{request.headers.get('host', '')}"):
        return (
            "Nothing was done: this request does not come from the console's own pages. "
            "Behind a proxy, CONSOLE_ORIGIN has to be the address that browsers see."
        )
    return None


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
    # As bytes: of texts only ASCII is compared. What is no Unicode at all is still a wrong token, and no mistake of ours.
    token = form.get("csrf", "").encode(errors="surrogatepass")
    if person is None or not secrets.compare_digest(token, person.csrf.encode()):
        raise HTTPException(403, "The form is too old: load the page again.")
    return form


def require(person: Person, action: str) -> None:
    """Raises 403 where the role is not enough."""
    if not may(person.role, action):
        raise HTTPException(403, f"Your role ({person.role}) is not enough for: {action}.")


Who = Annotated[Person, Depends(logged_in)]
Form = Annotated[dict[str, str], Depends(checked_form)]
Anything = dict[str, Any]
