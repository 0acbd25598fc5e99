"""A charge to talk to in tests: what is asked, which calls follow, how they end, what is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from contracts import payment as words
from contracts.values import CommandData, EventData, FailureKind
from messaging.decision import Effect, EffectDone, Message, Note, Outgoing, SetTimer, TimerFired
from services.payment import domain
from services.payment.state import Charge, End, Outcome

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORDER, CHARGE, REFUND = "ORDER-1", "charge-1", "refund-1"
KINDS: dict[End, FailureKind] = {End.FAILED: "transient", End.UNKNOWN: "unknown"}


def charge(attempt: int = 1, amount: int = 1_000, currency: str = "GBP", method: str = "pm_card_visa") -> words.Charge:
    return words.Charge(
        charge_id=CHARGE, amount_minor=amount, currency=currency, payment_method=method, attempt=attempt
    )


def void(attempt: int = 1) -> words.VoidCharge:
    return words.VoidCharge(charge_id=CHARGE, attempt=attempt)


def refund(
    attempt: int = 1, amount: int = 1_000, refund_id: str = REFUND, currency: str = "GBP", charge_id: str = CHARGE
) -> words.Refund:
    return words.Refund(
        refund_id=refund_id, charge_id=charge_id, amount_minor=amount, currency=currency, attempt=attempt
    )


def told(event: EventData) -> str:
    """`charge-captured 1`: what is told, and to which attempt."""
    name = type(event).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-") + f" {event.attempt}"  # type: ignore[attr-defined]


class Conversation:
    """One charge of one order."""

    def __init__(self) -> None:
        self.state: Charge | None = None
        self.now = NOW
        self.effects: dict[tuple[str, int], Effect] = {}
        self.effect_ids: list[str] = []
        self.timers: list[SetTimer] = []
        self.notes: list[str] = []
        self.events: list[EventData] = []

    def asks(self, command: CommandData) -> Sequence[str]:
        return self.decide(type(command).__name__, command)

    def ends(self, kind: str, attempt: int, end: End, message: str = "because") -> Sequence[str]:
        effect = self.effects[kind, attempt]
        worked = end in {End.CAPTURED, End.REFUNDED}
        outcome = Outcome(end) if worked else Outcome(end, message, KINDS.get(end, "permanent"))
        return self.decide(f"effect.{kind}", EffectDone(effect.id, kind, effect.request, outcome))

    def timer(self) -> Sequence[str]:
        timer = self.timers[-1]
        self.now = timer.due_at
        return self.decide(f"timer.{timer.name}", TimerFired(timer.name, timer.step, timer.due_at))

    def calls(self) -> list[tuple[str, int]]:
        """The calls that were asked for so far."""
        return list(self.effects)

    def decide(self, named: str, data: Any) -> list[str]:
        message = Message(named, ORDER, data, "id", "orders", self.now, "uid")
        found = domain.decide(self.state, message, self.now)
        self.state = found.state
        for effect in found.effects:
            assert effect.key == ORDER
            self.effects[effect.kind, effect.request.attempt] = effect
            self.effect_ids.append(effect.id)
        self.timers.extend(timer for timer in found.timers if isinstance(timer, SetTimer))
        self.notes.extend(said.type for said in found.says if isinstance(said, Note))
        events = [said.data for said in found.says if isinstance(said, Outgoing)]
        self.events.extend(events)  # type: ignore[arg-type]
        return [told(event) for event in events]  # type: ignore[arg-type]

    def is_(self, status: str) -> bool:
        return self.state is not None and self.state.status == status

    @property
    def money(self) -> tuple[int, int]:
        assert self.state is not None
        return self.state.captured_minor, self.state.refunded_minor


def captured(it: Conversation) -> Conversation:
    it.asks(charge(1))
    it.ends("charge", 1, End.CAPTURED)
    return it
