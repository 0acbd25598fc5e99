"""What the workflow knows about one order. Everything is frozen; a rule returns a new order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Literal

from contracts.customer import Tier
from contracts.inventory import StockLevel
from contracts.orders import EndReason, RejectionReason, StartGreet, StartOrder
from contracts.values import Item, PricedItem


class Phase(StrEnum):
    """Where the workflow stands. `NEW` is the phase of a key that has no order."""

    NEW = "NEW"
    ENRICHING = "ENRICHING"
    RESERVING = "RESERVING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    PAYING = "PAYING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


ENDED = frozenset({Phase.COMPLETED, Phase.CANCELLED, Phase.FAILED})

ChargeState = Literal["calling", "unknown", "retrying", "voiding", "captured", "none"]
Undo = Literal["void", "refund", "release", "done"]


@dataclass(frozen=True, slots=True)
class Command:
    """Who asked: the identity by which duplicates of a command are told."""

    source: str
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a command was told; `accepted` None: not decided yet."""

    command: Command
    accepted: bool | None
    reason: RejectionReason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class PendingLine:
    """An added line whose extra stock is not decided yet. `repeats`: how often its command came again meanwhile."""

    command: Command
    reservation_id: str
    item: Item
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """The one charge of an order. One id serves all attempts."""

    charge_id: str
    state: ChargeState
    attempt: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Compensation:
    """The way to an unhappy end: `step` is what is being undone now, `attempt` how often it was tried."""

    ending: Literal["CANCELLED", "FAILED"]
    reason: EndReason
    message: str
    step: Undo
    attempt: int
    by_customer: bool
    waiting_releases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What has been answered so far about an order that is being enriched; None: not yet. `recommend_by`: until when a
    recommendation is waited for; None once that time is over."""

    request_id: str
    recommend_by: datetime | None
    tier: Tier | None = None
    levels: tuple[StockLevel, ...] | None = None
    recommendations: tuple[str, ...] | None = None
    recommend_attempt: int = 1

    @property
    def needed_is_known(self) -> bool:
        """Whether all has been answered that the order cannot do without: a recommendation has a deadline of its own."""
        return self.tier is not None and self.levels is not None


@dataclass(frozen=True, slots=True)
class Attention:
    """Why the order needs a person."""

    reason: str
    message: str


@dataclass(frozen=True)
class Order:
    """One order (without slots: see `evolve`). `asked_at`: since when an answer is awaited; `retry_at`: when the next attempt is
    due; `timer_at`: for when the order's one timer is set (never later than the earliest deadline; it may be earlier, then it
    changes nothing). `approval_timeout_s` None: the customer's tier decides. `paused_at`: since when the order stands still;
    deadlines are kept as they were then. `hold_expired_at`: when it was told that its hold is over, while it waited for approval
    past its time."""

    order_id: str
    workflow: str
    workflow_version: int
    phase: Phase
    request: StartOrder | StartGreet
    items: tuple[PricedItem, ...]
    created_at: datetime
    updated_at: datetime
    reason: EndReason | None = None
    currency: str | None = None
    total_minor: int | None = None
    reservations: tuple[str, ...] = ()
    pending: tuple[PendingLine, ...] = ()
    extra_reservations: int = 0
    approved_by: str | None = None
    approval_deadline: datetime | None = None
    charge: Charge | None = None
    compensation: Compensation | None = None
    attention: Attention | None = None
    enrichment: Enrichment | None = None
    approval_timeout_s: int | None = None
    paused_at: datetime | None = None
    asked_at: datetime | None = None
    unanswered: int = 0
    retry_at: datetime | None = None
    timer_at: datetime | None = None
    hold_expired_at: datetime | None = None

    @property
    def status(self) -> str:
        """What the world is told: the phase, or that the order needs a person."""
        return "NEEDS_ATTENTION" if self.attention is not None else self.phase.value

    @property
    def ended(self) -> bool:
        """Whether the order has had its outcome."""
        return self.phase in ENDED

    @property
    def ordered(self) -> StartOrder:
        """What was ordered. Only orders have that: a greeting ends at once, so no rule ever asks it."""
        assert isinstance(self.request, StartOrder)
        return self.request

    @property
    def customer_id(self) -> str:
        """Whose order it is."""
        return self.request.customer_id if isinstance(self.request, StartOrder) else self.request.user_id

    @property
    def waiting_for(self) -> str | None:
        """What the order waits for, in the contract's words."""
        if self.paused_at is not None and not self.ended:
            return "operator"
        if self.phase is Phase.AWAITING_APPROVAL:
            return "stock" if self.approved_by is not None else "approval"
        if self.phase is Phase.PAYING:
            unsure = self.charge is not None and self.charge.state in {"unknown", "voiding"}
            return "payment-outcome" if unsure else "payment"
        if self.compensation is not None and self.phase is Phase.COMPENSATING:
            return {"void": "payment-outcome", "refund": "refund", "release": "release"}.get(self.compensation.step)
        return {Phase.ENRICHING: "enrichment", Phase.RESERVING: "stock"}.get(self.phase)

    @property
    def recommend_by(self) -> datetime | None:
        """Until when a recommendation is waited for."""
        return self.enrichment.recommend_by if self.phase is Phase.ENRICHING and self.enrichment is not None else None

    @property
    def deadline(self) -> datetime | None:
        """Until when a person's approval is awaited."""
        waits = self.phase is Phase.AWAITING_APPROVAL and self.approved_by is None and self.paused_at is None
        return self.approval_deadline if waits else None


@dataclass(frozen=True, slots=True)
class View:
    """What a decision about one key starts from and ends with. `fresh` holds the verdicts that the decision added."""

    order: Order | None = None
    verdicts: Mapping[tuple[str, str], Verdict] = field(default_factory=dict)
    fresh: tuple[Verdict, ...] = ()


def business_id(kind: str, *parts: str) -> str:
    """An id that follows from the order's, so that a repeated decision asks for the same thing again."""
    return f"{kind}_{blake2b(chr(31).join(parts).encode(), digest_size=12).hexdigest()}"
