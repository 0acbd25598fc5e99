"""What holds of a charge whatever comes in whatever order: commands, their repeats, outcomes late and twice, crashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import payment as words
from contracts.values import CommandData
from messaging.decision import Effect, EffectDone, Message, Outgoing, SetTimer, TimerFired
from services.payment.answers import NEVER_TAKEN
from services.payment.domain import decide
from services.payment.gateway.domain import Method
from services.payment.gateway.ledger import EntryKind, MemoryLedger
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.gateway.suite import ManualClock
from services.payment.performer import GatewayPerformer
from services.payment.state import Charge, End, Outcome, Status

T = TypeVar("T")
ORDER, CHARGE = "ORDER-1", "charge-1"
AMOUNT = 1_000
FINAL: dict[type[object], str] = {
    words.ChargeCaptured: "captured",
    words.ChargeVoided: "never",
    words.ChargeDeclined: "never",
}
#: How a gateway that cannot be trusted may end each call.
LIES: dict[str, tuple[End, ...]] = {
    "charge": (End.CAPTURED, End.DECLINED, End.VOIDED, End.FAILED, End.UNKNOWN),
    "void": (End.VOIDED, End.CAPTURED, End.DECLINED, End.FAILED),
    "refund": (End.REFUNDED, End.FAILED, End.REFUSED),
}


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


class Service:
    """One charge, its effects and timers, and everything that was told; checks after every message what must always hold."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.state: Charge | None = None
        self.pending: dict[str, Effect] = {}
        self.heard: list[EffectDone] = []
        self.timers: dict[str, SetTimer] = {}
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.finals: set[str] = set()
        self.void_asked = False
        self.taken = False
        self.seen: set[str] = set()

    def message(self, data: Any) -> None:
        message = Message("any", ORDER, data, "id", "test", self.clock.now(), "uid")
        before = self.state
        found = decide(before, message, self.clock.now())
        self.state = found.state
        self.void_asked = self.void_asked or isinstance(data, words.VoidCharge)
        for effect in found.effects:
            assert effect.id not in self.seen, "a call is never asked for twice under one id"
            assert not (self.void_asked and effect.kind == "charge"), "a charge call begins after a void was asked for"
            self.seen.add(effect.id)
            self.pending[effect.id] = effect
        for timer in found.timers:
            assert isinstance(timer, SetTimer)
            self.timers[timer.name] = timer
        for said in found.says:
            if isinstance(said, Outgoing):
                self.tell(said.data)
        self.check(before)

    def tell(self, event: Any) -> None:
        kind = "refund" if isinstance(event, words.Refunded | words.RefundFailed) else "charge"
        self.answers[kind, getattr(event, "refund_id", ""), event.attempt] += 1
        if type(event) in FINAL:
            self.finals.add(FINAL[type(event)])
        assert len(self.finals) <= 1, f"told both: {self.finals}"
        if isinstance(event, words.ChargeCaptured):
            assert event.amount_minor == AMOUNT

    def check(self, before: Charge | None) -> None:
        state = self.state
        if state is None:
            assert before is None
            return
        assert 0 <= state.refunded_minor <= state.captured_minor <= AMOUNT
        assert state.refunded_minor == sum(r.amount_minor for r in state.refunds if r.line.end is End.REFUNDED)
        assert (state.captured_minor > 0) == (state.status in {Status.CAPTURED, Status.RETURNING, Status.RETURNED})
        if before is not None:
            assert state.refunded_minor >= before.refunded_minor
            assert state.captured_minor >= before.captured_minor

    def end(self, effect: Effect, outcome: Outcome) -> None:
        self.pending.pop(effect.id, None)
        self.repeat(EffectDone(effect.id, effect.kind, effect.request, outcome))

    def repeat(self, told: EffectDone) -> None:
        """An outcome, for the first time or again. That money was taken is remembered, whenever it is heard."""
        charged = self.state is not None and self.state.call.attempt > 0
        self.taken = self.taken or (told.outcome.end is End.CAPTURED and charged)
        self.heard.append(told)
        self.message(told)

    def fire_timers(self) -> None:
        for name, timer in sorted(self.timers.items()):
            if timer.due_at <= self.clock.now():
                del self.timers[name]
                self.message(TimerFired(timer.name, timer.step, timer.due_at))

    def pick(self, number: int) -> Effect | None:
        effects = list(self.pending.values())
        return effects[number % len(effects)] if effects else None


def charge(attempt: int, method: str) -> words.Charge:
    return words.Charge(charge_id=CHARGE, amount_minor=AMOUNT, currency="GBP", payment_method=method, attempt=attempt)


def void(attempt: int) -> words.VoidCharge:
    return words.VoidCharge(charge_id=CHARGE, attempt=attempt)


def refund(refund_id: str, amount: int, attempt: int) -> words.Refund:
    return words.Refund(refund_id=refund_id, charge_id=CHARGE, amount_minor=amount, currency="GBP", attempt=attempt)


METHODS = st.sampled_from([method.value for method in Method] + ["pm_shells"])
ATTEMPTS = st.integers(1, 4)


def commands(method: str) -> st.SearchStrategy[CommandData]:
    return st.one_of(
        ATTEMPTS.map(lambda attempt: charge(attempt, method)),
        ATTEMPTS.map(void),
        st.builds(refund, st.sampled_from(["a", "b"]), st.sampled_from([300, 600, AMOUNT]), ATTEMPTS),
    )


@settings(max_examples=200, deadline=None)
@given(method=METHODS, data=st.data())
def test_a_gateway_that_cannot_be_trusted_makes_the_service_neither_contradict_itself_nor_keep_money(
    method: str, data: st.DataObject
) -> None:
    service = Service()
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["ask", "ask", "end", "end", "again", "time"]))
        effect = service.pick(data.draw(st.integers(0, 9))) if step == "end" else None
        if step == "ask":
            service.message(data.draw(commands(method)))
        elif effect is not None:
            service.end(effect, Outcome(data.draw(st.sampled_from(LIES[effect.kind]))))
        elif step == "again" and service.heard:
            told = data.draw(st.sampled_from(service.heard))
            twisted = Outcome(data.draw(st.sampled_from([told.outcome.end, *LIES[told.kind]])))
            service.repeat(EffectDone(told.effect_id, told.kind, told.request, twisted))
        elif step == "time":
            service.clock.pass_time(2)
            service.fire_timers()
    quiet(service)
    state = service.state
    assert (state is not None and state.captured_minor == AMOUNT) == service.taken
    if state is not None and ("never" in service.finals or state.status in NEVER_TAKEN):
        assert state.captured_minor == state.refunded_minor
        assert state.status in {Status.VOIDED, Status.DECLINED, Status.RETURNED}


def quiet(service: Service) -> None:
    """Every call ends, refunds by working; every timer fires."""
    while service.pending or service.timers:
        for effect in list(service.pending.values()):
            service.end(effect, Outcome({"charge": End.UNKNOWN, "void": End.VOIDED}.get(effect.kind, End.REFUNDED)))
        service.clock.pass_time(3600)
        service.fire_timers()


class Crashing:
    """The service's performer on the simulated gateway: calls are made, and their outcomes may wait, get lost, come twice."""

    def __init__(self, failure_rate: float) -> None:
        self.service = Service()
        self.gateway = SimulatedGateway(MemoryLedger(), self.service.clock, failure_rate)
        self.performer = GatewayPerformer(self.gateway)
        self.made: dict[str, tuple[Effect, Outcome]] = {}

    def call(self, effect: Effect, resumed: bool = False) -> None:
        """Make the call as it would be after a restart where `resumed`: the request is read from its stored form."""
        request = effect.request
        if resumed:
            request = self.performer.read(effect.kind, effect.request.model_dump_json().encode())
        self.made[effect.id] = (effect, done(self.performer.perform(effect.kind, request, resumed)))

    def deliver(self, effect_id: str) -> None:
        self.service.end(*self.made.pop(effect_id))

    def settle(self) -> None:
        """Everything under way ends, and every timer fires."""
        while self.service.pending or self.service.timers:
            for effect in list(self.service.pending.values()):
                if effect.id not in self.made:
                    self.call(effect)
                self.deliver(effect.id)
            self.service.clock.pass_time(61)
            self.service.fire_timers()

    def void_until_settled(self) -> None:
        """As the orchestrator does before it calls a charge failed."""
        for attempt in range(100, 120):
            state = self.service.state
            if state is not None and state.status in {Status.CAPTURED, *NEVER_TAKEN}:
                return
            self.service.message(void(attempt))
            self.settle()
        raise AssertionError("the void was never settled")

    def ledger(self) -> tuple[int, int]:
        entries = done(self.gateway.entries(ORDER))
        sums = Counter(dict.fromkeys(EntryKind, 0))
        for entry in entries:
            sums[entry.kind] += entry.amount_minor
        assert sum(entry.kind is EntryKind.CHARGE for entry in entries) <= 1
        return sums[EntryKind.CHARGE], sums[EntryKind.REFUND]


@settings(max_examples=200, deadline=None)
@given(method=METHODS, rate=st.sampled_from([0.0, 0.5, 1.0]), data=st.data())
def test_whatever_crashes_and_repeats_the_service_and_the_gateway_agree_about_the_money(
    method: str, rate: float, data: st.DataObject
) -> None:
    world = Crashing(rate)
    service = world.service
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["ask", "ask", "call", "deliver", "crash", "again", "time"]))
        effect = service.pick(data.draw(st.integers(0, 9))) if step == "call" else None
        if step == "ask":
            service.message(data.draw(commands(method)))
        elif effect is not None and effect.id not in world.made:
            world.call(effect)
        elif step == "deliver" and world.made:
            world.deliver(data.draw(st.sampled_from(sorted(world.made))))
        elif step == "crash":
            # What was not recorded is lost with the process; the next owner asks for it again.
            world.made.clear()
            for pending in service.pending.values():
                world.call(pending, resumed=True)
        elif step == "again" and service.heard:
            service.message(data.draw(st.sampled_from(service.heard)))
        elif step == "time":
            service.clock.pass_time(data.draw(st.sampled_from([0.1, 1, 5])))
            service.fire_timers()
    world.settle()
    world.void_until_settled()
    state = service.state
    assert state is not None
    assert world.ledger() == (state.captured_minor, state.refunded_minor)
    if "never" in service.finals:
        assert state.captured_minor == state.refunded_minor


@settings(max_examples=100, deadline=None)
@given(method=METHODS, rate=st.sampled_from([0.0, 0.5]), data=st.data())
def test_every_attempt_that_is_asked_for_once_and_in_order_is_answered_once(
    method: str, rate: float, data: st.DataObject
) -> None:
    world = Crashing(rate)
    service = world.service
    asked: Counter[tuple[str, str, int]] = Counter()
    charges = voids = refunds = 0
    for _ in range(data.draw(st.integers(1, 20))):
        step = data.draw(st.sampled_from(["charge", "void", "refund", "settle", "call", "deliver"]))
        effect = service.pick(data.draw(st.integers(0, 9)))
        if step == "charge":
            charges += 1
            asked["charge", "", charges] += 1
            service.message(charge(charges, method))
        elif step == "void":
            voids += 1
            asked["charge", "", 1_000 + voids] += 1
            service.message(void(1_000 + voids))
        elif step == "refund":
            refunds += 1
            asked["refund", "a", refunds] += 1
            service.message(refund("a", AMOUNT, refunds))
        elif step == "settle":
            world.settle()
        elif step == "call" and effect is not None and effect.id not in world.made:
            world.call(effect)
        elif step == "deliver" and world.made:
            world.deliver(data.draw(st.sampled_from(sorted(world.made))))
    world.settle()
    assert service.answers == asked


def test_a_late_charge_that_a_crash_hides_is_found_by_the_next_owner() -> None:
    world = Crashing(0.0)
    world.service.message(charge(1, Method.LATE))
    (effect,) = world.service.pending.values()
    world.call(effect)
    world.made.clear()
    world.service.clock.pass_time(timedelta(seconds=5).total_seconds())
    world.call(effect, resumed=True)
    world.deliver(effect.id)
    assert world.service.finals == {"captured"}
    assert world.ledger() == (AMOUNT, 0)
