"""Makes the calls that decisions ask for, outside of any transaction: each with its deadline, so many at once and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from contracts import metrics
from contracts.values import FailureKind
from messaging.meters import make_counter, make_histogram
from services.payment.gateway.port import (
    CancelOutcome,
    ChargeAnswer,
    ChargeOutcome,
    ChargeRequest,
    Gateway,
    GatewayError,
    RefundOutcome,
    RefundRequest,
)
from services.payment.state import ChargeCall, End, Outcome, RefundCall, VoidCall

DEFAULT_TIMEOUT_S: Final = 2.0
DEFAULT_CONCURRENCY: Final = 256
MAX_MESSAGE: Final = 500

REQUESTS: Final[Mapping[str, type[BaseModel]]] = {"charge": ChargeCall, "void": VoidCall, "refund": RefundCall}

Meaning = tuple[End, FailureKind | None]

CHARGE_ENDS: Final[Mapping[ChargeOutcome, Meaning]] = {
    ChargeOutcome.CAPTURED: (End.CAPTURED, None),
    ChargeOutcome.DECLINED: (End.DECLINED, "permanent"),
    ChargeOutcome.INVALID: (End.DECLINED, "validation"),
    ChargeOutcome.FAILED: (End.FAILED, "transient"),
    ChargeOutcome.CANCELLED: (End.VOIDED, "permanent"),
    # The key is taken by a charge that this order never made: for this one, nothing ever will be taken.
    ChargeOutcome.CONFLICT: (End.DECLINED, "validation"),
    ChargeOutcome.PENDING: (End.UNKNOWN, "unknown"),
    ChargeOutcome.NOT_FOUND: (End.UNKNOWN, "unknown"),
}

_BEFORE: Final = "The charge was declined before it was voided."
_UNDER_WAY: Final = "The charge is under way and cannot be cancelled now; ask again."
CANCEL_ENDS: Final[Mapping[CancelOutcome, Outcome]] = {
    CancelOutcome.CANCELLED: Outcome(End.VOIDED),
    CancelOutcome.CAPTURED: Outcome(End.CAPTURED),
    CancelOutcome.DECLINED: Outcome(End.DECLINED, _BEFORE, "permanent"),
    CancelOutcome.UNDER_WAY: Outcome(End.FAILED, _UNDER_WAY, "transient"),
}

REFUND_ENDS: Final[Mapping[RefundOutcome, Meaning]] = {
    RefundOutcome.REFUNDED: (End.REFUNDED, None),
    RefundOutcome.FAILED: (End.FAILED, "transient"),
    RefundOutcome.REFUSED: (End.REFUSED, "permanent"),
    RefundOutcome.CONFLICT: (End.REFUSED, "validation"),
}


class GatewayPerformer:
    """See `messaging.handler.Performer`. Every call has `timeout_s`; at most `concurrency` are under way."""

    def __init__(
        self, gateway: Gateway, timeout_s: float = DEFAULT_TIMEOUT_S, concurrency: int = DEFAULT_CONCURRENCY
    ) -> None:
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._room = asyncio.Semaphore(concurrency)
        #: The gateway's metrics, for whoever serves them.
        self.registry = CollectorRegistry()
        self._calls = make_counter(metrics.GATEWAY_CALLS, self.registry)
        self._seconds = make_histogram(metrics.GATEWAY_SECONDS, self.registry)
        # From the start, so that the first failure is seen as an increase.
        for kind in REQUESTS:
            for end in End:
                self._calls.labels(kind, end.value)

    def read(self, kind: str, request: bytes) -> BaseModel:
        """See `Performer.read`."""
        return REQUESTS[kind].model_validate_json(request)

    async def perform(self, kind: str, request: Any, resumed: bool) -> Outcome:
        """See `Performer.perform`. That the gateway did not answer is an outcome: unknown for a charge; for a void or a refund
        a failure, because asking again does no harm."""
        async with self._room:
            began = perf_counter()
            outcome = await self._call(kind, request, resumed)
        self._seconds.labels(kind).observe(perf_counter() - began)
        self._calls.labels(kind, outcome.end.value).inc()
        return outcome

    async def _call(self, kind: str, request: Any, resumed: bool) -> Outcome:
        match request:
            case ChargeCall():
                return await self._charge(request, resumed)
            case VoidCall():
                return await self._void(request)
            case RefundCall():
                return await self._refund(request)
            case _:
                raise TypeError(f"Payment has no effect of kind {kind}.")

    async def _charge(self, call: ChargeCall, resumed: bool) -> Outcome:
        """Where an earlier call may have worked, ask; only where the gateway knows nothing, charge (again, under the same id)."""
        try:
            if call.ask_first or resumed:
                known = await self._gateway.look_up(call.charge_id, self._timeout_s)
                if known.outcome is not ChargeOutcome.NOT_FOUND:
                    return _charged(known)
            asked = ChargeRequest(call.charge_id, call.order_id, call.amount_minor, call.currency, call.payment_method)
            return _charged(await self._gateway.charge(asked, self._timeout_s))
        except GatewayError as error:
            return Outcome(End.UNKNOWN, _why(error), error.failure)

    async def _void(self, call: VoidCall) -> Outcome:
        try:
            return CANCEL_ENDS[(await self._gateway.cancel(call.charge_id, self._timeout_s)).outcome]
        except GatewayError as error:
            return Outcome(End.FAILED, _why(error), error.failure)

    async def _refund(self, call: RefundCall) -> Outcome:
        asked = RefundRequest(call.refund_id, call.charge_id, call.order_id, call.amount_minor, call.currency)
        try:
            answer = await self._gateway.refund(asked, self._timeout_s)
        except GatewayError as error:
            return Outcome(End.FAILED, _why(error), error.failure)
        end, failure = REFUND_ENDS[answer.outcome]
        return Outcome(end, answer.message, failure)


def _charged(answer: ChargeAnswer) -> Outcome:
    end, failure = CHARGE_ENDS[answer.outcome]
    return Outcome(end, answer.message, failure)


def _why(error: GatewayError) -> str:
    """It travels in an event and stands in a row, so it has an end."""
    return str(error)[:MAX_MESSAGE]
