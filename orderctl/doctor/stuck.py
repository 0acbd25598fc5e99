"""Which orders should have moved and did not, and how they are told together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from orderctl.doctor.chain import Advice, Diagnosis
from orderctl.doctor.diagnose import TIMER_GRACE
from orderctl.doctor.facts import OrderFacts, moment
from orderctl.doctor.story import since_of

#: Every status in which an order is under way.
OPEN: Final = ("NEEDS_ATTENTION", "ENRICHING", "RESERVING", "AWAITING_APPROVAL", "PAYING", "COMPENSATING")


@dataclass(frozen=True, slots=True)
class Case:
    """An order that did not move, and why."""

    order: OrderFacts
    since: datetime | None
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Group:
    """Orders that stand for the same cause. `fact` is the cause in words, as the first of them tells it."""

    cause: str
    subject: str | None
    fact: str
    advice: tuple[Advice, ...]
    cases: tuple[Case, ...]


def suspicious(told: Mapping[str, Any], now: datetime, older_than: timedelta) -> bool:
    """Whether an order of the list is worth a closer look: neither one that a person has time to approve, nor one that is new."""
    if told.get("status") == "NEEDS_ATTENTION":
        return True
    deadline = moment(told.get("deadline"))
    if deadline is not None:
        return deadline + TIMER_GRACE < now
    created = moment(told.get("created_at"))
    return created is None or now - created >= older_than


def stands(order: OrderFacts, now: datetime, older_than: timedelta) -> bool:
    """Whether the order, with its history known, has not moved for so long."""
    if order.status == "NEEDS_ATTENTION" or order.deadline is not None:
        return True
    began = since_of(order)
    return began is None or now - began >= older_than


def grouped(cases: Sequence[Case]) -> tuple[Group, ...]:
    """The cases by cause, the largest group first; in a group, the one that stands longest first."""
    found: dict[tuple[str, str | None], list[Case]] = {}
    for case in cases:
        found.setdefault((case.diagnosis.cause, case.diagnosis.subject), []).append(case)
    groups = [_group(cause, subject, members) for (cause, subject), members in found.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.cases), group.cause)))


def _group(cause: str, subject: str | None, members: list[Case]) -> Group:
    ordered = sorted(members, key=lambda case: (case.since is None, case.since, case.order.order_id))
    first = ordered[0].diagnosis
    return Group(cause, subject, first.why, first.advice, tuple(ordered))
