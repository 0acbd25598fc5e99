"""What can go wrong, by name. A campaign counts how often each really happened, and what was planned and never did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from contracts.orders import OPERATIONS
from simulation.campaign.script import Entry, Script

#: At which point of its work a process dies. Each is followed by a successor that finds what was left.
CRASHES: Final = (
    "crash-idle",
    "crash-before-commit",
    "crash-after-commit",
    "crash-in-publish",
    "crash-after-publish",
    "crash-before-mark",
    "crash-after-mark",
    "crash-after-call",
)
COMMITS: Final = ("commit-made-unheard", "commit-lost", "taken-over-at-commit")
PUBLISHES: Final = ("publish-lost", "publish-partly", "publish-unheard")
TIMERS: Final = ("timer-early", "timer-late", "timer-twice")
GATEWAY: Final = ("gateway-down", "gateway-slow", "gateway-answer-lost", "gateway-late", "refund-fails")
RECORDS: Final = ("duplicate-command", "duplicate-record", "hostile-record", "foreign-partition", "replay-topic")
TIME: Final = ("delay", "reorder", "clock-ahead", "clock-behind", "down")
POISON: Final = ("poison-handler", "poison-database", "redrive")
OTHERS: Final = ("together", "zombie", "mail-down", "deploy-code", "deploy-workflow", "operator", "power-cut")

KINDS: Final[tuple[str, ...]] = (
    *CRASHES,
    *COMMITS,
    *PUBLISHES,
    *TIMERS,
    *GATEWAY,
    *RECORDS,
    *TIME,
    *POISON,
    *OTHERS,
)

_PLANS: Final[Mapping[str, tuple[str, ...]]] = {
    "crash": ("crash-idle",),
    "down": ("down",),
    "early": ("timer-early",),
    "again": ("duplicate-record",),
    "say-again": ("duplicate-command",),
    "raw": ("hostile-record",),
    "hold": ("reorder",),
    "stall": ("delay",),
    "zombie": ("zombie",),
    "rewind": ("replay-topic",),
    "power-cut": ("power-cut",),
    "poison": ("poison-handler",),
    "refuse": ("poison-database",),
    "redrive": ("redrive",),
    "deploy": ("deploy-code", "deploy-workflow"),
    "roll-back": ("deploy-code", "deploy-workflow"),
}


def planned(script: Script) -> set[str]:
    """The kinds that the script means to happen."""
    ahead = {seconds for choices in script.ahead.values() for seconds in choices}
    found = {kind for entry in script.entries for kind in _planned_by(entry)}
    found |= {"together"} if script.together else set()
    return found | {"clock-ahead" if seconds > 0 else "clock-behind" for seconds in ahead if seconds}


def _planned_by(entry: Entry) -> Iterator[str]:
    match entry:
        case ("say", _, str(kind), *_):
            if kind in OPERATIONS:
                yield "operator"
            if len(entry) > _PLACED:
                yield "foreign-partition"
        case ("arm", str(kind), *_):
            yield kind
        case ("gateway", True):
            yield "gateway-down"
        case ("mail", True):
            yield "mail-down"
        case ("skew", _, float(seconds)):
            yield "clock-ahead" if seconds > 0 else "clock-behind"
        case (str(word), *_):
            yield from _PLANS.get(word, ())


#: A command with so many parts names no partition.
_PLACED: Final = 6
