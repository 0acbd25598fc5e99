"""What a diagnosis is: a chain of facts, each with its evidence and the cause of the one before, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from shlex import quote
from typing import Any, Final, Literal

#: `moving`: it goes on by itself; `waiting`: for a person or a time, as it should; `behind`: it will go on, later than it should.
State = Literal["ended", "moving", "waiting", "behind", "stuck", "unknown"]
#: In these states nobody has to do anything.
FINE: Final = frozenset({"ended", "moving", "waiting"})


@dataclass(frozen=True, slots=True)
class Link:
    """One fact, in words, and what it was seen from. `quoted`: what of the fact somebody else wrote: an error, a message, a name.
    It may hold anything, also what is not for every reader."""

    fact: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    quoted: str = ""

    def unquoted(self, instead: str) -> str:
        """The fact with other words for what somebody else wrote."""
        return self.fact.replace(self.quoted, instead) if self.quoted else self.fact


@dataclass(frozen=True, slots=True)
class Advice:
    """What helps; `command` can be run as it stands, where there is one."""

    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: the rest of the chain, down to the cause."""

    links: tuple[Link, ...]
    advice: tuple[Advice, ...]
    state: State = "stuck"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The whole chain, from what the order waits for to the cause. `subject`: the service that the cause is about, if one is;
    `own`: so many links at the beginning are about this order alone, the rest is the cause."""

    order_id: str
    state: State
    cause: str
    chain: tuple[Link, ...]
    advice: tuple[Advice, ...] = ()
    subject: str | None = None
    own: int = 0

    @property
    def why(self) -> str:
        """The cause in words, without what is the order's own."""
        return " -> ".join(link.fact for link in self.chain[self.own :])

    @property
    def fine(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state in FINE


def quoting(words: str, text: str, evidence: Mapping[str, Any] | None = None) -> Link:
    """A fact that ends with what somebody else wrote."""
    return Link(f"{words}: {text}", evidence or {}, text)


def verb(name: str, order_id: str, rest: str = "") -> str:
    """An orderctl verb about an order, as a shell takes it: an id is any text that somebody chose."""
    return f"orderctl {name} {quote(order_id)} {rest}".rstrip()


def span(duration: timedelta) -> str:
    """`41 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def since(at: datetime | None, now: datetime) -> str:
    """`for 41 s`, or nothing where the beginning is not known."""
    return "" if at is None else f" for {span(now - at)}"
