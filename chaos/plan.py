"""What is done to the stack, and when. Pure: the same seed gives the same faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, TypeVar

from devstack.processes import SERVICES as ALL_SERVICES

T = TypeVar("T")


class Kind(StrEnum):
    """What can be done. The first two are done to a process, the others to its way to a backend."""

    KILL = "kill"
    STOP = "stop"
    CUT = "cut"
    DELAY = "delay"
    STALL = "stall"
    HALF_OPEN = "half-open"
    SWALLOW_PRODUCE = "swallow-produce"
    SWALLOW_COMMIT = "swallow-commit"


#: The console looks on: no order waits for it.
SERVICES: Final = tuple(service for service in ALL_SERVICES if service.name != "console")
KAFKA: Final = "kafka"
POSTGRES: Final = "postgres"
BACKENDS: Final = (POSTGRES, KAFKA)
PROCESSES: Final = (*(service.name for service in SERVICES), *BACKENDS)
#: These answer queries alone; no record reaches them.
_WITHOUT_BROKER: Final = frozenset({"orders-api"})


@dataclass(frozen=True, slots=True)
class Link:
    """A process's way to the broker, or to a database of this name."""

    process: str
    backend: str

    @property
    def name(self) -> str:
        """As it stands in plans and reports."""
        return f"{self.process}>{self.backend}"


def _links() -> Iterator[Link]:
    for service in SERVICES:
        if service.name not in _WITHOUT_BROKER:
            yield Link(service.name, KAFKA)
        for database in service.databases:
            yield Link(service.name, database)


LINKS: Final = tuple(_links())
#: Ways on which something goes all the time, so that a fault there meets somebody.
_BUSY: Final = tuple(link.name for link in LINKS if link.process not in _WITHOUT_BROKER)
_PRODUCING: Final = tuple(
    f"{name}>{KAFKA}" for name in ("orders", "inventory", "payment", "customer", "recommendation")
)
_COMMITTING: Final = tuple(
    f"{name}>{name}" for name in ("orders", "inventory", "payment", "customer", "notification", "recommendation")
)
TARGETS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.KILL: PROCESSES,
    Kind.STOP: PROCESSES,
    Kind.CUT: _BUSY,
    Kind.DELAY: _BUSY,
    Kind.STALL: _BUSY,
    Kind.HALF_OPEN: _BUSY,
    Kind.SWALLOW_PRODUCE: _PRODUCING,
    Kind.SWALLOW_COMMIT: _COMMITTING,
}
#: Of twenty faults that are no kills.
_MIX: Final = {
    Kind.STOP: 5,
    Kind.CUT: 3,
    Kind.DELAY: 2,
    Kind.STALL: 2,
    Kind.HALF_OPEN: 2,
    Kind.SWALLOW_PRODUCE: 3,
    Kind.SWALLOW_COMMIT: 3,
}
#: Longer than the session timeout too: the group gives the partitions away, and the one who had them goes on.
_LASTS_S: Final[dict[Kind, tuple[float, ...]]] = {
    Kind.STOP: (1.0, 3.0, 9.0),
    Kind.DELAY: (4.0,),
    Kind.STALL: (2.0, 5.0, 9.0),
}
#: A frozen backend holds everything up, not one service.
_BACKEND_LASTS_S: Final = (1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `at_s` after the beginning, for `lasts_s` (0: it is over at once)."""

    at_s: float
    kind: Kind
    target: str
    lasts_s: float = 0.0

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.kind} {self.target}" + (f" for {self.lasts_s:g} s" if self.lasts_s else "")


def kill_run(seed: str, kills: int, duration_s: float) -> tuple[Fault, ...]:
    """So many kills, and as many other faults in between, spread over the time; they may meet."""
    random = Random(seed)  # noqa: S311 - a plan, no secret
    decks = {kind: _deck(random, targets) for kind, targets in TARGETS.items()}
    others = [kind for kind, count in _MIX.items() for _ in range(count)]
    mixed = _deck(random, others)
    kinds = [kind for _ in range(kills) for kind in (Kind.KILL, next(mixed))]
    slot_s = duration_s / max(1, len(kinds))
    return tuple(_fault(random, kind, decks, slot_s * (number + random.random())) for number, kind in enumerate(kinds))


def one_by_one(seed: str, kinds: Iterable[Kind], each: int) -> tuple[Fault, ...]:
    """So many of each, in any order, for one at a time. A kill counts as three kinds: of a service that orders wait for, of
    PostgreSQL, of Kafka."""
    random = Random(seed)  # noqa: S311 - a plan, no secret
    decks: dict[str, Iterator[str]] = {}
    wanted: list[tuple[Kind, str]] = []
    for kind in kinds:
        groups: Sequence[tuple[str, ...]] = (
            ((*NEEDED,), (POSTGRES,), (KAFKA,)) if kind in (Kind.KILL, Kind.STOP) else (TARGETS[kind],)
        )
        for number, group in enumerate(groups):
            deck = decks[f"{kind}{number}"] = _deck(random, group)
            wanted += [(kind, next(deck)) for _ in range(each)]
    random.shuffle(wanted)
    return tuple(_fault(random, kind, {kind: iter([target])}, 0.0) for kind, target in wanted)


#: No order completes without these.
NEEDED: Final = ("orders", "inventory", "payment", "customer")


def _fault(random: Random, kind: Kind, decks: dict[Kind, Iterator[str]], at_s: float) -> Fault:
    target = next(decks[kind])
    choices = _BACKEND_LASTS_S if target in BACKENDS else _LASTS_S.get(kind, (0.0,))
    return Fault(round(at_s, 2), kind, target, 0.0 if kind is Kind.KILL else random.choice(choices))


def _deck(random: Random, cards: Sequence[T]) -> Iterator[T]:
    """All of them in any order, and again: everybody's turn comes."""
    while True:
        yield from random.sample(cards, len(cards))
