"""The performer's calls under way, as values: each can be stopped between any two requests to the gateway."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from messaging.decision import Effect
from services.payment.gateway.port import ChargeRequest, GatewayError, RefundRequest
from services.payment.performer import GatewayPerformer
from services.payment.state import ChargeCall, Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the gateway."""

    operation: str
    key: str
    request: ChargeRequest | RefundRequest | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """What the performer hears of a request that is not answered. A value, which an exception is not."""

    error: type[GatewayError]
    why: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the performer under way: what the gateway has answered to it so far, and when it goes on."""

    effect: Effect
    resumed: bool
    answers: tuple[Any, ...]
    ready_at: datetime


class _Asks(BaseException):
    """The performer wants the gateway to answer."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.asked = asked


class _Heard:
    """A gateway that repeats what it has answered before, and then stops whoever asks on."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)

    def _answer(self, asked: Asked) -> Any:
        for answer in self._answers:
            if isinstance(answer, Silence):
                raise answer.error(asked.operation, asked.key, answer.why)
            return answer
        raise _Asks(asked)

    async def charge(self, request: ChargeRequest, timeout_s: float) -> Any:
        return self._answer(Asked("charge", request.charge_id, request))

    async def look_up(self, charge_id: str, timeout_s: float) -> Any:
        return self._answer(Asked("look_up", charge_id))

    async def cancel(self, charge_id: str, timeout_s: float) -> Any:
        return self._answer(Asked("cancel", charge_id))

    async def refund(self, request: RefundRequest, timeout_s: float) -> Any:
        return self._answer(Asked("refund", request.refund_id, request))


def go_on(call: Call) -> Asked | Outcome:
    """What the performer asks the gateway next, or how the call has ended."""
    return _going_on(call.effect.kind, call.effect.request, call.resumed, call.answers)


@lru_cache(maxsize=100_000)
def _going_on(kind: str, request: BaseModel, resumed: bool, answers: tuple[Any, ...]) -> Asked | Outcome:
    """The performer depends on nothing else, and in hundreds of thousands of worlds makes few hundred different calls."""
    performer = GatewayPerformer(_Heard(answers))
    try:
        return _finish(performer.perform(kind, request, resumed))
    except _Asks as asks:
        return asks.asked


def _finish(coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    raise AssertionError("it waited")


def is_first_charge(call: Call) -> bool:
    """Whether this is a charge that has not asked the gateway anything yet, and will ask to be charged at once."""
    request = call.effect.request
    fresh = not call.answers and not call.resumed
    return fresh and isinstance(request, ChargeCall) and not request.ask_first
