"""Looking ahead: what a command would do to an order, and how the order would go on, by the very rules that decide it in earnest.

Nothing is written and nothing is sent. Participants are taken to answer at once and in the best way; what the order itself waits
for before it tries again passes; what a person has to say is not foreseen, so an order that waits for approval goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from contracts import inventory, payment
from contracts.orders import CommandAccepted, CommandRejected, OrderCompleted, RejectionReason
from contracts.registry import TYPE_OF
from contracts.values import CommandData, EventData
from messaging.decision import Message, Note, Outgoing, TimerFired
from services.orders.domain.decide import TIMER, decide
from services.orders.domain.move import Said, awaited
from services.orders.domain.participants import Participants, participants_of
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.domain.state import Order, Phase, View

StockKind = Literal["reserve", "release", "ship"]

#: An order that has not come to rest after so many answers never will.
MOST_ANSWERS: Final = 100_000
#: Where a price is not known before the stock is held, nothing that follows from it is.
_PRICED: Final = frozenset({"amount_minor", "total_minor", "unit_price_minor"})
_CURRENCY: Final = frozenset({"currency"})
_VERDICTS: Final = {TYPE_OF[CommandAccepted][1]: True, TYPE_OF[CommandRejected][1]: False}


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is sent, told or noted. A price that cannot be known beforehand is null in it."""

    kind: Literal["command", "event", "note"]
    type: str
    topic: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MoneyMove:
    """Money that is taken, given back, or made sure never to be taken. `amount_minor` None: it depends on a price not known yet."""

    kind: Literal["charge", "refund", "void"]
    amount_minor: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class StockMove:
    """Stock that is held, set free or shipped. `sku` None: a reservation of which the order does not say what it holds."""

    kind: StockKind
    sku: str | None
    quantity: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """The verdict. `accepted` None: not decided as long as the order stands as it does."""

    accepted: bool | None
    duplicate: bool = False
    reason: RejectionReason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What one command would do. `steps`: what it causes itself; `then`, `money` and `stock`: what would follow. All of these are
    empty where it changes nothing. `before` and `after`: the order now, and where it would come to rest."""

    verdict: Told
    before: Order | None
    after: Order | None
    steps: tuple[Step, ...]
    then: tuple[Step, ...]
    money: tuple[MoneyMove, ...]
    stock: tuple[StockMove, ...]


def foresee(view: View, message: Message, now: datetime, policies: Policies = DEFAULTS) -> Foresight:
    """What `message`, a command, would do if it came now."""
    decision = decide(view, message, now, policies)
    ahead = _Ahead(decision.state, now, policies, participants_of(view.order or decision.state.order))
    ahead.ask(_under_way(view.order))
    ahead.take_note(decision.says)
    steps = tuple(ahead.steps)
    ahead.steps.clear()
    ahead.ask(said for said in decision.says if isinstance(said, Outgoing))
    ahead.go_on(message.key)
    verdict = _verdict(message.id, (*steps, *ahead.steps))
    before, after = view.order, ahead.view.order
    # A paused order takes note of what it heard, also where that is of no effect.
    refused = verdict.duplicate or (verdict.accepted is False and len(steps) == 1)
    if refused or decision.state.order is before:
        return Foresight(verdict, before, after, steps, (), (), ())
    return Foresight(verdict, before, after, steps, tuple(ahead.steps), tuple(ahead.money), _summed(ahead.stock))


def _under_way(order: Order | None) -> tuple[Outgoing, ...]:
    """The requests that were made before and are not answered yet."""
    return awaited(order) if order is not None and order.asked_at is not None else ()


def _verdict(command_id: str, steps: Iterable[Step]) -> Told:
    for step in steps:
        if step.type in _VERDICTS and step.data["command_id"] == command_id:
            told = step.data
            return Told(_VERDICTS[step.type], told["duplicate"], told.get("reason"), told.get("message", ""))
    return Told(None, message="The order stands still: it is decided once it is resumed and the extra stock is held.")


def _summed(moves: Iterable[StockMove]) -> tuple[StockMove, ...]:
    """One entry for each kind and SKU."""
    sums: dict[tuple[StockKind, str | None], int | None] = {}
    for move in moves:
        sum_ = sums.get((move.kind, move.sku), 0)
        sums[move.kind, move.sku] = None if sum_ is None or move.quantity is None else sum_ + move.quantity
    return tuple(StockMove(kind, sku, quantity) for (kind, sku), quantity in sums.items())


@dataclass(slots=True)
class _Ahead:
    """The order as it goes on. It changes in place; nobody else sees it."""

    view: View
    now: datetime
    policies: Policies
    participants: Participants
    requests: dict[tuple[type[CommandData], str], CommandData] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    money: list[MoneyMove] = field(default_factory=list)
    stock: list[StockMove] = field(default_factory=list)

    def ask(self, said: Iterable[Outgoing]) -> None:
        """These requests are on their way. One that is asked for again is answered once, also where it is to be held longer now."""
        for data in (out.data for out in said):
            if isinstance(data, CommandData) and not isinstance(data, inventory.ExtendReservation):
                self.requests.setdefault((type(data), data.model_dump_json(exclude={"expires_at"})), data)

    def go_on(self, key: str) -> None:
        """Let everybody answer until nothing happens any more without a person."""
        for number in range(MOST_ANSWERS):
            message = self._next(key, f"ahead-{number}")
            if message is None:
                return
            decision = decide(self.view, message, self.now, self.policies)
            self.view = decision.state
            self.take_note(decision.says)
            self.ask(said for said in decision.says if isinstance(said, Outgoing))
        raise RuntimeError("The order does not come to rest.")

    def _next(self, key: str, id: str) -> Message | None:
        if self.requests:
            asked = self.requests.pop(next(iter(self.requests)))
            self.participants, answer = self.participants.answer(asked)
            topic, kind = TYPE_OF[type(answer)]
            self._heard(asked, answer)
            return Message(kind, key, answer, id, topic.partition(".")[0], self.now, id, topic=topic)
        due_at = _own_wait(self.view.order)
        if due_at is None:
            return None
        self.now = max(self.now, due_at)
        self.steps.append(Step("note", "plan.wait-over", None, {"at": due_at.isoformat()}))
        return Message("timer.order", key, TimerFired(TIMER, 0, due_at), id, "timer", due_at, id)

    def _heard(self, asked: CommandData, answer: EventData) -> None:
        self.steps.append(self._step(answer))
        if isinstance(answer, payment.ChargeVoided):
            paying = self.view.order is not None and self.view.order.phase is Phase.PAYING
            instead = "the order completes" if paying else "it is refunded"
            told = f"Where the money turns out to be taken instead, {instead}."
            self.steps.append(Step("note", "plan.if-it-was-taken", None, {"message": told}))
        self.money.extend(self._money(asked, answer))
        self.stock.extend(_stock(answer))

    def take_note(self, says: Iterable[Said]) -> None:
        """This was said by the order."""
        for said in says:
            if isinstance(said, Note):
                self.steps.append(Step("note", said.type, None, said.data))
                continue
            self.steps.append(self._step(said.data))
            if isinstance(said.data, OrderCompleted):
                self.stock.extend(StockMove("ship", item.sku, item.quantity) for item in said.data.items)

    @property
    def _all_priced(self) -> bool:
        order = self.view.order
        return order is None or order.total_minor is None or all(item.unit_price_minor for item in order.items)

    @property
    def _unknown(self) -> frozenset[str]:
        """The fields of which nothing can be known yet."""
        return (frozenset() if self._all_priced else _PRICED) | (_CURRENCY if self._currency is None else frozenset())

    @property
    def _currency(self) -> str | None:
        return self.participants.currency

    def _step(self, data: CommandData | EventData) -> Step:
        topic, kind = TYPE_OF[type(data)]
        command = isinstance(data, CommandData)
        told = data.model_dump(mode="json", exclude_unset=command)
        told |= dict.fromkeys(told.keys() & self._unknown)
        return Step("command" if command else "event", kind, topic, told)

    def _money(self, asked: CommandData, answer: EventData) -> Iterator[MoneyMove]:
        order = self.view.order
        if order is None or order.charge is None or order.charge.state == "none":
            return
        amount = order.charge.amount_minor if self._all_priced else None
        if isinstance(asked, payment.Charge):
            yield MoneyMove("charge", amount, self._currency)
        elif isinstance(asked, payment.Refund):
            yield MoneyMove("refund", amount, self._currency)
        elif isinstance(answer, payment.ChargeVoided):
            yield MoneyMove("void", amount, self._currency)


def _stock(answer: EventData) -> Iterator[StockMove]:
    if isinstance(answer, inventory.StockReserved):
        yield from (StockMove("reserve", item.sku, item.quantity) for item in answer.items)
    elif isinstance(answer, inventory.StockReleased):
        yield from (StockMove("release", item.sku, item.quantity) for item in answer.items)
        if not answer.items:
            yield StockMove("release", None, None)


def _own_wait(order: Order | None) -> datetime | None:
    """Until when the order waits for nobody but itself: before it tries again, or goes on without a recommendation."""
    if order is None or order.ended or order.paused_at is not None:
        return None
    return min((at for at in (order.retry_at, order.recommend_by) if at is not None), default=None)
