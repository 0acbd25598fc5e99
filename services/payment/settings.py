"""Payment's own settings."""

from __future__ import annotations

from typing import Final

from messaging.setting import Integer, Number, Setting, database_url
from services.payment.performer import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_S

GATEWAY_DATABASE_URL: Final = database_url("gateway", "the simulated gateway's ledger")
FAILURE_RATE: Final = Number("PAYMENT_FAILURE_RATE", 0, 0, 1, "transient failures of the simulated gateway, per call")
CALL_TIMEOUT_S: Final = Number(
    "PAYMENT_CALL_TIMEOUT_S", DEFAULT_TIMEOUT_S, 0.01, 60, "how long a call to the gateway may take"
)
CONCURRENCY: Final = Integer(
    "PAYMENT_CONCURRENCY", DEFAULT_CONCURRENCY, 1, 100_000, "how many calls to the gateway are under way at once"
)
SETTINGS: Final[tuple[Setting, ...]] = (GATEWAY_DATABASE_URL, FAILURE_RATE, CALL_TIMEOUT_S, CONCURRENCY)
