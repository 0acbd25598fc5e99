"""What a form was answered, set aside in memory for the page that it leads on to: a refusal with what was filled in, a password
that is shown once. That page has an address of its own, so Back and reload find a page and ask nothing again."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.console.store import Person

#: For so long, and so many of them; the oldest go first.
KEPT_S: Final = 3600.0
MOST: Final = 200
#: What is longer altogether is not kept with its refusal: nobody fills the memory by forms.
LONGEST: Final = 50_000
#: Said by the page anew each time, or no part of what was filled in.
_NOT_FILLED_IN: Final = frozenset({"csrf", "step", "command_id"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a form was refused, and what was filled in. `status`: what the page answers."""

    status: int
    error: str
    filled: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OneTime:
    """An account's one-time password."""

    name: str
    password: str


class Aside:
    """See the module. Nobody gets what was set aside for somebody else, or for the same person in another role."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[str, tuple[float, Person, Refusal | OneTime]] = OrderedDict()

    def put(self, person: Person, what: Refusal | OneTime) -> str:
        """The token under which it is found again."""
        token = secrets.token_urlsafe(12)
        self._kept[token] = (self._now_s(), person, what)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return token

    def refusal(self, person: Person, token: str) -> Refusal | None:
        """The refusal, as often as it is asked for."""
        what = self._find(person, token)
        return what if isinstance(what, Refusal) else None

    def one_time(self, person: Person, token: str) -> OneTime | None:
        """The password, once."""
        what = self._find(person, token)
        if not isinstance(what, OneTime):
            return None
        del self._kept[token]
        return what

    def _find(self, person: Person, token: str) -> Refusal | OneTime | None:
        self._forget()
        _, of, what = self._kept.get(token, (0.0, None, None))
        return what if of is not None and (of.name, of.role) == (person.name, person.role) else None

    def _forget(self) -> None:
        while self._kept and self._now_s() - next(iter(self._kept.values()))[0] > KEPT_S:
            self._kept.popitem(last=False)


def refusal_of(status: int, error: str, form: Mapping[str, str]) -> Refusal:
    """A form's refusal, with as much of the form as is kept."""
    filled = {name: value for name, value in form.items() if name not in _NOT_FILLED_IN}
    return Refusal(status, error, filled if sum(map(len, filled.values())) <= LONGEST else {})
