"""The vocabulary of the rules: what a rule sees, what it returns, and the small steps that many rules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contracts.customer import LookUpCustomer
from contracts.inventory import CheckStock, ReleaseStock, ReserveStock
from contracts.orders import AttentionNeeded, AttentionResolved, CommandAccepted, CommandRejected, RejectionReason
from contracts.payment import Charge as ChargeCommand
from contracts.payment import Refund, VoidCharge
from contracts.values import Item
from messaging.decision import Message, Note, Outgoing
from services.orders.domain.deadlines import held_until
from services.orders.domain.evolve import replace
from services.orders.domain.policies import Policies
from services.orders.domain.state import Attention, Command, Order, Phase, Verdict, business_id

Said = Outgoing | Note


@dataclass(frozen=True, slots=True)
class Move:
    """What a rule decided: the new order, what is said in this order, and the verdicts that are to be remembered."""

    order: Order
    says: tuple[Said, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    def then(self, rule: Callable[[Order], Move]) -> Move:
        """Go on from here; what was said so far comes first."""
        following = rule(self.order)
        return Move(following.order, self.says + following.says, self.verdicts + following.verdicts)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a rule sees."""

    order: Order
    message: Message
    now: datetime
    policies: Policies

    @property
    def command(self) -> Command:
        """The identity of the message as a command."""
        return Command(self.message.source, self.message.id, self.message.type)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def verdict_event(key: str, verdict: Verdict, duplicate: bool) -> Outgoing:
    """The event that tells a verdict."""
    command = verdict.command
    if verdict.accepted:
        return Outgoing(key, CommandAccepted(command_id=command.id, command_type=command.type, duplicate=duplicate))
    rejected = CommandRejected(
        command_id=command.id,
        command_type=command.type,
        reason=verdict.reason or "invalid",
        message=verdict.message,
        duplicate=duplicate,
    )
    return Outgoing(key, rejected)


def accept(order: Order, command: Command, *, duplicate: bool = False) -> Move:
    """Tell and remember that the command took effect, or had its effect already."""
    verdict = Verdict(command, accepted=True)
    return Move(order, (verdict_event(order.order_id, verdict, duplicate),), (verdict,))


def reject(order: Order, command: Command, reason: RejectionReason, message: str) -> Move:
    """Tell and remember that the command changed nothing."""
    verdict = Verdict(command, accepted=False, reason=reason, message=message)
    return Move(order, (verdict_event(order.order_id, verdict, duplicate=False),), (verdict,))


def settle_pending(order: Order, reservation_id: str, verdict: Verdict) -> Move:
    """Tell the verdict on an added line, also to those who asked again while it was undecided."""
    repeats = next(line.repeats for line in order.pending if line.reservation_id == reservation_id)
    rest = tuple(line for line in order.pending if line.reservation_id != reservation_id)
    told = (verdict_event(order.order_id, verdict, duplicate=False),)
    again = (verdict_event(order.order_id, verdict, duplicate=True),) * repeats
    return Move(replace(order, pending=rest), told + again, (verdict,))


# --- asking the participants ------------------------------------------------------------------------------------------


def awaited(order: Order) -> tuple[Outgoing, ...]:
    """The requests whose answers the order waits for now. They follow from the state alone, so they can be made again."""
    key = order.order_id
    if order.phase is Phase.ENRICHING:
        return _enrichment_requests(order)
    if order.phase is Phase.RESERVING:
        request = order.ordered
        held = business_id("rsv", key, "0")
        return (_reserve(order, held, request.items, request.currency),)
    if order.phase is Phase.AWAITING_APPROVAL:
        return tuple(_reserve(order, line.reservation_id, (line.item,), order.currency) for line in order.pending)
    if order.phase is Phase.PAYING:
        return _payment_request(order)
    if order.phase is Phase.COMPENSATING:
        return _undo_request(order)
    return ()


def _reserve(order: Order, reservation_id: str, items: tuple[Item, ...], currency: str | None) -> Outgoing:
    until = held_until(order)
    request = ReserveStock(reservation_id=reservation_id, items=items, currency=currency, expires_at=until)
    return Outgoing(order.order_id, request)


def _enrichment_requests(order: Order) -> tuple[Outgoing, ...]:
    """Who the customer is and what is in stock, where it is not answered yet. Recommendations are asked for once."""
    known, request, key = order.enrichment, order.ordered, order.order_id
    if known is None:
        return ()
    asked: list[Outgoing] = []
    if known.tier is None:
        asked.append(Outgoing(key, LookUpCustomer(request_id=known.request_id, customer_id=request.customer_id)))
    if known.levels is None:
        skus = tuple(dict.fromkeys(item.sku for item in request.items))
        asked.append(Outgoing(key, CheckStock(request_id=known.request_id, skus=skus)))
    return tuple(asked)


def _payment_request(order: Order) -> tuple[Outgoing, ...]:
    charge = order.charge
    if charge is None or order.currency is None or order.retry_at is not None:
        return ()
    if charge.state == "voiding":
        return (Outgoing(order.order_id, VoidCharge(charge_id=charge.charge_id, attempt=charge.attempt)),)
    request = ChargeCommand(
        charge_id=charge.charge_id,
        amount_minor=charge.amount_minor,
        currency=order.currency,
        payment_method=order.ordered.payment_method,
        attempt=charge.attempt,
    )
    return (Outgoing(order.order_id, request),)


def _undo_request(order: Order) -> tuple[Outgoing, ...]:
    undo, charge, key = order.compensation, order.charge, order.order_id
    if undo is None or order.retry_at is not None:
        return ()
    if undo.step == "release":
        return tuple(Outgoing(key, ReleaseStock(reservation_id=held)) for held in undo.waiting_releases)
    if charge is None or order.currency is None:
        return ()
    if undo.step == "void":
        return (Outgoing(key, VoidCharge(charge_id=charge.charge_id, attempt=undo.attempt)),)
    refund = Refund(
        refund_id=business_id("rf", key),
        charge_id=charge.charge_id,
        amount_minor=charge.amount_minor,
        currency=order.currency,
        attempt=undo.attempt,
    )
    return (Outgoing(key, refund),)


def ask(order: Order, now: datetime) -> Move:
    """Make the requests whose answers are awaited, and begin to wait."""
    asking = replace(order, asked_at=now, unanswered=0, retry_at=None)
    return Move(asking, awaited(asking))


# --- attention --------------------------------------------------------------------------------------------------------


def need_attention(order: Order, reason: str, message: str) -> Move:
    """Put the order on the list of those that need a person; it goes on trying."""
    if order.attention is not None:
        return Move(order)
    event = Outgoing(order.order_id, AttentionNeeded(reason=reason, message=message))
    return Move(replace(order, attention=Attention(reason, message)), (event,))


def attention_over(order: Order, message: str) -> Move:
    """What the order needed a person for has worked by itself, or is done."""
    if order.attention is None:
        return Move(order)
    event = Outgoing(order.order_id, AttentionResolved(reason=order.attention.reason, message=message))
    return Move(replace(order, attention=None), (event,))


def answered(order: Order) -> Move:
    """A participant answered: whoever was worried about its silence need not be."""
    heard = replace(order, unanswered=0)
    if order.attention is not None and order.attention.reason == "no-answer":
        return attention_over(heard, "The answer came.")
    return Move(heard)
