"""Whatever is said to an order, in whatever order, however often: what must always be true of its decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from orders_talk import ADD, APPROVE, CANCEL, TERMINAL, Talk, expired, start

from contracts import inventory, payment
from contracts.orders import CommandAccepted, CommandRejected, OrderCompleted
from contracts.values import Item, PricedItem
from services.orders.domain.state import ENDED, Phase

PRICES = {"tea": 250, "mug": 799}
SIGNALS = (start(), APPROVE, APPROVE, ADD, ADD, start(items=(Item(sku="tea", quantity=3),)), APPROVE, CANCEL)


@dataclass
class World:
    """Participants that keep their promises and nothing more: they answer late, often, in any order, and fail when told to."""

    talk: Talk = field(default_factory=Talk)
    asked: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    reservations: dict[str, Any] = field(default_factory=dict)
    charged: payment.Charge | None = None
    charge: str = "none"
    refunded: bool = False
    commands: Counter[str] = field(default_factory=Counter)
    ended_as: Phase | None = None

    def hear(self, said: list[Any]) -> None:
        self.asked += [data for data in said if type(data).__module__ in {"contracts.inventory", "contracts.payment"}]
        if self.ended_as is not None:
            assert self.talk.phase is self.ended_as, "an ended order has changed its phase"
        elif self.talk.phase in ENDED:
            self.ended_as = self.talk.phase

    def signal(self, kind: int, name: int) -> None:
        command = f"{kind}-{name}"
        self.commands[command] += 1
        self.hear(self.talk.tell(SIGNALS[kind], id=command))

    def handle(self, request: Any, works: int) -> None:
        """A participant reads a request; `works` decides how it fares where both are possible."""
        match request:
            case inventory.ReserveStock():
                self.answers.append(self._reserve(request, works))
            case inventory.ReleaseStock(reservation_id=held):
                found = self.reservations.get(held)
                had = found.items if isinstance(found, inventory.StockReserved) else ()
                self.reservations[held] = "released"
                items = tuple(Item(sku=item.sku, quantity=item.quantity) for item in had)
                self.answers.append(inventory.StockReleased(reservation_id=held, items=items))
            case payment.Charge():
                self.answers.append(self._charge(request, works))
            case payment.VoidCharge(charge_id=charge_id, attempt=attempt):
                self.answers.append(self._void(charge_id, attempt, works))
            case payment.Refund():
                facts = request.model_dump(include={"refund_id", "charge_id", "attempt"})
                assert self.charge == "captured", "a refund of what was never taken"
                if works % 3 == 0 and not self.refunded:
                    self.answers.append(payment.RefundFailed(**facts, message="closed"))
                else:
                    self.refunded = True
                    money = {"amount_minor": request.amount_minor, "currency": request.currency}
                    self.answers.append(payment.Refunded(**facts, **money))

    def _reserve(self, request: inventory.ReserveStock, works: int) -> Any:
        held, known = request.reservation_id, self.reservations.get(request.reservation_id)
        if known == "released":
            return inventory.ReservationRefused(reservation_id=held, reason="released", message="gone")
        if known is None:
            if works % 5 == 0:
                known = inventory.ReservationRefused(reservation_id=held, reason="out-of-stock", message="none")
            else:
                lines = tuple(
                    PricedItem(sku=i.sku, quantity=i.quantity, unit_price_minor=PRICES[i.sku]) for i in request.items
                )
                known = inventory.StockReserved(reservation_id=held, items=lines, currency="GBP")
            self.reservations[held] = known
        return known

    def _charge(self, request: payment.Charge, works: int) -> Any:
        if self.charged is not None:
            same = {"attempt": request.attempt}
            assert self.charged.model_copy(update=same) == request, "one charge id, two contents"
        self.charged = request
        facts = {"charge_id": request.charge_id, "attempt": request.attempt}
        if self.charge == "none":
            self.charge = {0: "captured", 1: "captured", 2: "declined"}.get(works % 8, "none")
            if works % 8 == 1:
                return payment.ChargeUnknown(**facts, message="the answer was lost")
        if self.charge == "captured":
            return payment.ChargeCaptured(**facts, amount_minor=request.amount_minor, currency=request.currency)
        if self.charge == "declined":
            return payment.ChargeDeclined(**facts, message="no")
        if self.charge == "voided":
            return payment.ChargeVoided(**facts)
        return payment.ChargeFailed(**facts, message="busy")

    def _void(self, charge_id: str, attempt: int, works: int) -> Any:
        if self.charge == "captured":
            assert self.charged is not None
            money = {"amount_minor": self.charged.amount_minor, "currency": self.charged.currency}
            return payment.ChargeCaptured(charge_id=charge_id, attempt=attempt, **money)
        if self.charge == "none" and works % 3 == 0:
            return payment.VoidFailed(charge_id=charge_id, attempt=attempt, message="under way")
        self.charge = "voided" if self.charge == "none" else self.charge
        return payment.ChargeVoided(charge_id=charge_id, attempt=attempt)

    def act(self, action: int, which: int, works: int) -> None:
        if action <= 2:
            self.signal(which % len(SIGNALS), works % 2)
        elif action <= 5 and self.asked:
            self.handle(self.asked[which % len(self.asked)], works)
        elif action <= 8 and self.answers:
            self.hear(self.talk.tell(self.answers[which % len(self.answers)]))
        elif action == 9 and self.talk.timer is not None:
            self.hear(self.talk.fire())
        elif action == 10:
            # Inventory announces that the time of what it holds is over, sooner or later than it is.
            held = [name for name, found in self.reservations.items() if isinstance(found, inventory.StockReserved)]
            self.hear(self.talk.tell(*(expired(name) for name in held[which % 3 :][:1])))

    def finish(self) -> None:
        """From now on everybody answers, everything is delivered, and time passes."""
        handled = heard = 0
        for _ in range(500):
            while handled < len(self.asked) or heard < len(self.answers):
                for request in self.asked[handled:]:
                    self.handle(request, works=8)
                    handled += 1
                for answer in self.answers[heard:]:
                    self.hear(self.talk.tell(answer))
                    heard += 1
            if self.talk.timer is None:
                return
            self.hear(self.talk.fire())
        raise AssertionError(f"the order does not end: {self.talk.order}")


ACTIONS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 40), st.integers(0, 23)), max_size=60)


@settings(max_examples=400, deadline=None)
@given(ACTIONS)
def test_whatever_happens_every_promise_of_the_workflow_holds(actions: list[tuple[int, int, int]]) -> None:
    world = World()
    world.signal(0, 0)
    for action in actions:
        world.act(*action)
    world.finish()
    talk, order = world.talk, world.talk.order
    ends = [data for data in talk.said if isinstance(data, TERMINAL)]
    assert order.phase in ENDED
    assert len(ends) == 1
    every_command_was_answered_each_time(world)
    net = world.charged.amount_minor if world.charged and world.charge == "captured" and not world.refunded else 0
    held = {name for name, found in world.reservations.items() if isinstance(found, inventory.StockReserved)}
    if isinstance(ends[0], OrderCompleted):
        assert net == order.total_minor == sum(i.quantity * (i.unit_price_minor or 0) for i in order.items)
        assert set(ends[0].reservation_ids) == held
        assert Counter(ends[0].items) == Counter(i for name in held for i in world.reservations[name].items)
    else:
        assert net == 0
        assert held == set()
    assert order.attention is None


def every_command_was_answered_each_time(world: World) -> None:
    told: dict[str, list[bool]] = defaultdict(list)
    for data in world.talk.said:
        if isinstance(data, CommandAccepted | CommandRejected):
            told[data.command_id].append(data.duplicate)
    assert {command: len(verdicts) for command, verdicts in told.items()} == dict(world.commands)
    assert all(verdicts.count(False) <= 1 and False not in verdicts[1:] for verdicts in told.values())


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_what_is_said_twice_at_once_is_said_as_if_once(actions: list[tuple[int, int, int]]) -> None:
    """A reply that is delivered twice in a row changes nothing the second time."""
    world = World()
    world.signal(0, 0)
    for action in actions:
        world.act(*action)
        if world.answers and action[0] in {6, 7, 8}:
            before = world.talk.view.order
            again = world.talk.tell(world.answers[action[1] % len(world.answers)])
            after = world.talk.view.order
            assert before is not None
            assert after is not None
            assert after == before
            assert all(type(data).__name__ == "Note" for data in again)
