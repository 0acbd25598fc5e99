"""What an order does about what does not work, as data: one policy per step, with the field names that Temporal's users know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from contracts.values import FailureKind

Step = Literal["enrich", "recommend", "reserve", "add-line", "charge", "void", "refund", "release"]
#: A row of the table: a step, or the silence of the payment service about any of its steps.
PolicyName = Literal[Step, "no-answer"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After the n-th failed attempt the next one comes `initial_interval_s * backoff_coefficient ** (n - 1)` later, at most
    `maximum_interval_s`; `maximum_attempts` None means without end. A failure of a `non_retryable` kind is the last one."""

    initial_interval_s: float
    backoff_coefficient: float
    maximum_interval_s: float
    maximum_attempts: int | None
    non_retryable: frozenset[FailureKind] = frozenset()

    def delay(self, failed_attempts: int) -> timedelta:
        """How long to wait after so many failed attempts (at least 1)."""
        # The exponent is bounded: a retry without end must not end in an overflow.
        factor = self.backoff_coefficient ** min(failed_attempts - 1, 64)
        return timedelta(seconds=min(self.initial_interval_s * factor, self.maximum_interval_s))

    def exhausted(self, failed_attempts: int, kind: FailureKind = "unknown") -> bool:
        """Whether no further attempt is made by itself after so many, the last of which failed in this way."""
        too_many = self.maximum_attempts is not None and failed_attempts >= self.maximum_attempts
        return too_many or kind in self.non_retryable


_HOPELESS: Final[frozenset[FailureKind]] = frozenset({"permanent", "validation"})
#: A participant that does not answer is asked again: the request is idempotent, and the first one may be lost with its broker.
_SILENCE: Final = RetryPolicy(15, 2, 60, None)
#: Recommendations are nice to have: an order waits no longer for them.
_NICE_TO_HAVE: Final = RetryPolicy(2, 1, 2, 1)
_PAYMENT: Final = RetryPolicy(1, 2, 30, 5, _HOPELESS)
_COMPENSATION: Final = RetryPolicy(1, 2, 60, None, _HOPELESS)


@dataclass(frozen=True, slots=True)
class Policies:
    """The whole table. `charge`, `void` and `refund` are tried again after a failure that was told; the others, which cannot
    fail, are asked again after silence. `no_answer` is for the silence of the payment service."""

    enrich: RetryPolicy = _SILENCE
    recommend: RetryPolicy = _NICE_TO_HAVE
    reserve: RetryPolicy = _SILENCE
    add_line: RetryPolicy = _SILENCE
    charge: RetryPolicy = _PAYMENT
    void: RetryPolicy = _COMPENSATION
    refund: RetryPolicy = _COMPENSATION
    release: RetryPolicy = _SILENCE
    no_answer: RetryPolicy = _SILENCE

    def named(self, name: PolicyName) -> RetryPolicy:
        """A row of the table."""
        found: RetryPolicy = getattr(self, name.replace("-", "_"))
        return found

    def after_silence(self, step: Step) -> RetryPolicy:
        """The policy for a request of this step that is not answered."""
        return self.no_answer if TRIED_AFTER[step] == "failure" else self.named(step)


#: What each row is about, in the order in which people read them.
TRIED_AFTER: Final[dict[PolicyName, Literal["failure", "silence"]]] = {
    "enrich": "silence",
    "recommend": "silence",
    "reserve": "silence",
    "add-line": "silence",
    "charge": "failure",
    "void": "failure",
    "refund": "failure",
    "release": "silence",
    "no-answer": "silence",
}
_PERSON: Final = "the order needs a person, who has it tried again or settles it"
#: What follows when the policy allows no further attempt. Nothing that may hold money or stock is ever dropped.
IN_THE_END: Final[dict[PolicyName, str]] = {
    **dict.fromkeys(TRIED_AFTER, _PERSON),
    "recommend": "the order goes on without",
    "charge": "the charge is voided, and the order fails with payment-failed",
}
#: These must come to an end by themselves.
BOUNDED: Final[frozenset[PolicyName]] = frozenset({"recommend", "charge"})

DEFAULTS: Final = Policies()

#: What a customer's tier decides: how long an order of theirs waits for approval, where its start-order does not say.
#: It never waives the approval.
APPROVAL_TIMEOUT_S: Final[dict[str, int]] = {"STANDARD": 900, "SILVER": 1_800, "GOLD": 3_600}

#: With so many failures of one compensation, or so many unanswered requests, a person should look.
ATTENTION_AFTER: Final = 3
