"""What did not work, and what is done about it: every failed attempt is told in the history, with its error and when the next
one comes. How often and how fast is the policies' matter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts import payment
from contracts.values import FailureKind
from messaging.decision import Note
from services.orders.domain.evolve import replace
from services.orders.domain.move import Move, ask, awaited, need_attention
from services.orders.domain.policies import ATTENTION_AFTER, Policies, RetryPolicy, Step
from services.orders.domain.state import Order, Phase

FailedPayment = (
    payment.ChargeDeclined | payment.ChargeFailed | payment.ChargeUnknown | payment.VoidFailed | payment.RefundFailed
)

#: What the events mean that were told before there were kinds of failures.
_UNTOLD: Final[dict[type[FailedPayment], FailureKind]] = {
    payment.ChargeDeclined: "permanent",
    payment.ChargeFailed: "transient",
    payment.ChargeUnknown: "unknown",
    payment.VoidFailed: "transient",
    payment.RefundFailed: "transient",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt at a step that did not work."""

    step: Step
    attempt: int
    kind: FailureKind
    error: str


@dataclass(frozen=True, slots=True)
class Next:
    """When the next attempt comes: `delay` after `now`."""

    now: datetime
    delay: timedelta = timedelta()

    @property
    def at(self) -> datetime:
        """The moment."""
        return self.now + self.delay


def told_by(step: Step, data: FailedPayment) -> Failure:
    """The failure that the payment service tells."""
    return Failure(step, data.attempt, data.failure or _UNTOLD[type(data)], data.message)


def noted(order: Order, failure: Failure, name: str = "orders.attempt-failed", next_at: Next | None = None) -> Note:
    """The entry of the history. `next_at` None: by itself the order does not try this again."""
    facts = {
        "step": failure.step,
        "waiting_for": order.waiting_for,
        "failed_attempt": failure.attempt,
        "failure": failure.kind,
        "error": failure.error,
        "delay_s": None if next_at is None else next_at.delay.total_seconds(),
        "next_attempt_at": None if next_at is None else next_at.at.isoformat(),
    }
    return Note(name, facts)


# --- after a failure --------------------------------------------------------------------------------------------------


def ask_again_later(order: Order, now: datetime, policy: RetryPolicy, failure: Failure) -> Move:
    """Wait before the next attempt."""
    following = Next(now, policy.delay(failure.attempt))
    note = noted(order, failure, "orders.retry-scheduled", following)
    return Move(replace(order, retry_at=following.at, asked_at=None, unanswered=0), (note,))


def keep_trying(order: Order, now: datetime, policy: RetryPolicy, failure: Failure, reason: str) -> Move:
    """What has to work in the end is tried again; a person is told when it goes on, and at once where the policy allows no
    further attempt. It is never dropped."""
    if policy.exhausted(failure.attempt, failure.kind):
        return leave_to_a_person(order, failure, reason)
    move = ask_again_later(order, now, policy, failure)
    if failure.attempt < ATTENTION_AFTER:
        return move
    return move.then(lambda o: need_attention(o, reason, failure.error))


def leave_to_a_person(order: Order, failure: Failure, reason: str) -> Move:
    """Ask nobody any more until a person says so. An answer that comes all the same counts."""
    move = Move(replace(order, asked_at=None, retry_at=None, unanswered=0), (noted(order, failure),))
    return move.then(lambda o: need_attention(o, reason, failure.error))


def is_left_to_a_person(order: Order) -> bool:
    """Whether something is awaited for which nobody is asked, and will not be until a person says so."""
    standing = order.paused_at is None and order.asked_at is None and order.retry_at is None
    return standing and bool(awaited(order))


def can_be_retried(order: Order) -> bool:
    """Whether something has failed, so that a person may have it tried again now."""
    return order.retry_at is not None or is_left_to_a_person(order)


def retry(order: Order, now: datetime) -> Move:
    """The next attempt of what failed: of the payment, of a step of the compensation, or of a request that nobody answers."""
    undo, charge = order.compensation, order.charge
    if order.phase is Phase.COMPENSATING and undo is not None:
        return ask(replace(order, compensation=replace(undo, attempt=undo.attempt + 1)), now)
    if order.phase is Phase.PAYING and charge is not None:
        return ask(replace(order, charge=replace(charge, attempt=charge.attempt + 1)), now)
    return ask(order, now)


# --- after silence ----------------------------------------------------------------------------------------------------


def step_of(order: Order) -> Step | None:
    """Whose answer the order waits for now."""
    match order.phase:
        case Phase.ENRICHING if order.enrichment is not None and not order.enrichment.needed_is_known:
            return "enrich"
        case Phase.RESERVING:
            return "reserve"
        case Phase.AWAITING_APPROVAL if order.pending:
            return "add-line"
        case Phase.PAYING if order.charge is not None:
            return "void" if order.charge.state == "voiding" else "charge"
        case Phase.COMPENSATING if order.compensation is not None and order.compensation.step != "done":
            return order.compensation.step
        case _:
            return None


def patience_over_at(order: Order, policies: Policies) -> datetime | None:
    """When an awaited answer is overdue; None where nothing is asked for."""
    if order.asked_at is None or order.retry_at is not None:
        return None
    step = step_of(order)
    return None if step is None else order.asked_at + policies.after_silence(step).delay(order.unanswered + 1)


def ask_the_silent(order: Order, now: datetime, policies: Policies) -> Move:
    """Ask again where an answer is overdue; with the third time a person is told."""
    overdue_at, step = patience_over_at(order, policies), step_of(order)
    if step is None or overdue_at is None or now < overdue_at:
        return Move(order)
    attempt = order.unanswered + 1
    failure = Failure(step, attempt, "unknown", f"There is no answer about {order.waiting_for}.")
    if policies.after_silence(step).exhausted(attempt):
        return leave_to_a_person(order, failure, "no-answer")
    silent = replace(order, asked_at=now, unanswered=attempt)
    move = Move(silent, (noted(order, failure, "orders.asked-again", Next(now)), *awaited(silent)))
    if attempt < ATTENTION_AFTER:
        return move
    return move.then(lambda o: need_attention(o, "no-answer", failure.error))
