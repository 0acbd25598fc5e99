"""Retry policies as data, with the field names that Temporal's users know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After the n-th failed attempt the next one comes `initial_interval_s * backoff_coefficient ** (n - 1)` later, at most
    `maximum_interval_s`; `maximum_attempts` None means without end."""

    initial_interval_s: float
    backoff_coefficient: float
    maximum_interval_s: float
    maximum_attempts: int | None

    def delay(self, failed_attempts: int) -> timedelta:
        """How long to wait after so many failed attempts (at least 1)."""
        # The exponent is bounded: a retry without end must not end in an overflow.
        factor = self.backoff_coefficient ** min(failed_attempts - 1, 64)
        return timedelta(seconds=min(self.initial_interval_s * factor, self.maximum_interval_s))

    def exhausted(self, failed_attempts: int) -> bool:
        """Whether no further attempt is allowed."""
        return self.maximum_attempts is not None and failed_attempts >= self.maximum_attempts


PAYMENT: Final = RetryPolicy(1, 2, 30, 5)
COMPENSATION: Final = RetryPolicy(1, 2, 60, None)
#: A participant that does not answer is asked again: the request is idempotent, and the first one may be lost with its broker.
NO_ANSWER: Final = RetryPolicy(15, 2, 60, None)

#: Recommendations are nice to have: an order waits no longer for them.
RECOMMENDATION_PATIENCE_S: Final = 2.0

#: What a customer's tier decides: how long an order of theirs waits for approval, where its start-order does not say.
#: It never waives the approval.
APPROVAL_TIMEOUT_S: Final[dict[str, int]] = {"STANDARD": 900, "SILVER": 1_800, "GOLD": 3_600}

#: With so many failures of one compensation, or so many unanswered requests, a person should look.
ATTENTION_AFTER: Final = 3
