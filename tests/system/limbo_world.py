"""One order, the payment service and the gateway as one small world whose every next step can be chosen: the real decisions of all
three, the real performer in between, and what may go wrong on the way. A world is a value; a step makes a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import inventory, payment
from contracts.orders import ApprovePayment, CancelOrder, CommandAccepted, StartOrder
from contracts.values import CommandData, EventData, Item, PricedItem
from messaging.decision import Decision, Message, Outgoing, SetTimer, TimerFired
from services.orders.domain import Order, View
from services.orders.domain import decide as order_decides
from services.orders.domain.evolve import replace
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.domain.state import business_id
from services.payment.domain import decide as payment_decides
from services.payment.state import Charge
from simulation.checker.gateway import Gate, Turn, UnderWay, begun, crashed, recorded, turns

TOTAL = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)
APPROVE, CANCEL = ApprovePayment(approved_by="boss"), CancelOrder(reason="no")
JUST_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Left:
    """How much may still go wrong. `haste`: how often time passes though somebody had something to do."""

    cancels: int = 1
    faults: int = 0
    haste: int = 0
    crashes: int = 0
    repeats: int = 0


@dataclass(frozen=True)  # without slots it is copied twice as fast
class World:
    """`to_payment` and `to_orders` are the topics: read in order."""

    left: Left
    policies: Policies = DEFAULTS
    now: datetime = NOW
    order: Order | None = None
    charge: Charge | None = None
    gate: Gate = field(default_factory=Gate)
    to_payment: tuple[CommandData, ...] = ()
    to_orders: tuple[EventData, ...] = ()
    last_asked: CommandData | None = None
    last_told: EventData | None = None
    under_way: UnderWay = field(default_factory=UnderWay)
    order_timer: datetime | None = None
    payment_timers: tuple[SetTimer, ...] = ()
    approved: bool = False
    cancelled: bool = False


Step = tuple[str, Callable[[], World]]


def begin(method: str, left: Left, policies: Policies = DEFAULTS) -> World:
    """An order whose stock is held, and which waits for its approval."""
    asked = StartOrder(
        customer_id="ann", items=(Item(sku="tea", quantity=1),), workflow_version=1, payment_method=method
    )
    lines = (PricedItem(sku="tea", quantity=1, unit_price_minor=TOTAL),)
    held = inventory.StockReserved(reservation_id=business_id("rsv", "O", "0"), items=lines, currency="GBP")
    return tell_order(tell_order(World(left, policies), asked), held)


# --- who decides ------------------------------------------------------------------------------------------------------


def tell_order(world: World, data: Any) -> World:
    """The order decides; stock is released as soon as it says so."""
    message = Message(type(data).__name__, "O", data, "id", "test", world.now, "uid")
    decision: Decision[View] = order_decides(View(world.order), message, world.now, world.policies)
    timer = None if isinstance(data, TimerFired) else world.order_timer
    for change in decision.timers:
        timer = change.due_at if isinstance(change, SetTimer) else None
    said = [s.data for s in decision.says if isinstance(s, Outgoing)]
    asked = tuple(d for d in said if isinstance(d, payment.Charge | payment.VoidCharge | payment.Refund))
    accepted = any(isinstance(d, CommandAccepted) for d in said)
    world = replace(
        world,
        order=decision.state.order,
        order_timer=timer,
        to_payment=world.to_payment + asked,
        last_asked=asked[-1] if asked else world.last_asked,
        cancelled=world.cancelled or (data is CANCEL and accepted),
    )
    for release in (d for d in said if isinstance(d, inventory.ReleaseStock)):
        world = tell_order(world, inventory.StockReleased(reservation_id=release.reservation_id, items=()))
    return world


def tell_payment(world: World, data: Any) -> World:
    """The payment service decides; its calls are under way at once."""
    message = Message(type(data).__name__, "O", data, "id", "orders", world.now, "uid")
    decision = payment_decides(world.charge, message, world.now)
    told = tuple(s.data for s in decision.says if isinstance(s, Outgoing))
    timers = {timer.name: timer for timer in (*world.payment_timers, *decision.timers) if isinstance(timer, SetTimer)}
    return replace(
        world,
        charge=decision.state,
        under_way=begun(world.under_way, decision.effects, world.now),
        to_orders=world.to_orders + told,  # type: ignore[operator]
        last_told=told[-1] if told else world.last_told,
        payment_timers=tuple(timers.values()),
    )


# --- every next step --------------------------------------------------------------------------------------------------


def steps(world: World) -> Iterator[Step]:
    """All that may happen next: first what somebody has to do, then what may go wrong or come from outside."""
    busy = list(_work(world))
    yield from busy
    if not world.approved:
        yield "approve", lambda: tell_order(replace(world, approved=True), APPROVE)
    left = world.left
    if left.cancels:
        fewer = replace(left, cancels=left.cancels - 1)
        yield "cancel", lambda: tell_order(replace(world, left=fewer), CANCEL)
    if next_moment(world) is not None and not busy:
        yield "time", lambda: time_passes(world)
    elif next_moment(world) is not None and left.haste:
        yield "time, in haste", lambda: time_passes(replace(world, left=replace(left, haste=left.haste - 1)))
    if left.crashes and (world.under_way.calls or world.under_way.outcomes):
        yield "payment crashes", lambda: crash(replace(world, left=replace(left, crashes=left.crashes - 1)))
    if left.repeats:
        yield from _repeats(replace(world, left=replace(left, repeats=left.repeats - 1)))


def _work(world: World) -> Iterator[Step]:
    if world.to_payment:
        command, rest = world.to_payment[0], world.to_payment[1:]
        yield f"payment reads {_named(command)}", lambda: tell_payment(replace(world, to_payment=rest), command)
    if world.to_orders:
        event, others = world.to_orders[0], world.to_orders[1:]
        yield f"the order reads {_named(event)}", lambda: tell_order(replace(world, to_orders=others), event)
    for done in world.under_way.outcomes:
        end = f"{done.kind} {done.request.attempt} ends: {done.outcome.end}"
        rest_of = recorded(world.under_way, done)
        yield end, lambda done=done, left=rest_of: tell_payment(replace(world, under_way=left), done)  # type: ignore[misc]
    for turn in turns(world.gate, world.under_way, world.now, world.left.faults > 0):
        yield turn.name, lambda turn=turn: _taken(world, turn)  # type: ignore[misc]


def _taken(world: World, turn: Turn) -> World:
    left = replace(world.left, faults=world.left.faults - turn.faults)
    if turn.broken:  # nothing else goes wrong
        left = Left(cancels=left.cancels, haste=left.haste)
    return replace(world, gate=turn.gate, under_way=turn.under_way, left=left)


def crash(world: World) -> World:
    """What was not recorded is lost with the process."""
    return replace(world, under_way=crashed(world.under_way, "O", world.now))


def _repeats(world: World) -> Iterator[Step]:
    told, asked = world.last_told, world.last_asked
    if told is not None:
        yield f"{_named(told)} again", lambda: replace(world, to_orders=(*world.to_orders, told))
    if asked is not None:
        yield f"{_named(asked)} again", lambda: replace(world, to_payment=(*world.to_payment, asked))


# --- time -------------------------------------------------------------------------------------------------------------


def next_moment(world: World) -> datetime | None:
    """When something happens by time alone."""
    moments = [timer.due_at + JUST_AFTER for timer in world.payment_timers]
    moments += [call.ready_at for call in world.under_way.calls if call.ready_at > world.now]
    if world.order_timer is not None:
        moments.append(world.order_timer + JUST_AFTER)
    lands_at = None if world.gate.row is None else world.gate.row.lands_at
    if lands_at is not None and lands_at > world.now:
        moments.append(lands_at)
    return min(moments, default=None)


def time_passes(world: World) -> World:
    """On to the next moment; the timers that are due then fire."""
    moment = next_moment(world)
    assert moment is not None
    world = replace(world, now=max(moment, world.now))
    if world.order_timer is not None and world.order_timer < world.now:
        world = tell_order(world, TimerFired("order", 0, world.order_timer))
    due = [timer for timer in world.payment_timers if timer.due_at < world.now]
    world = replace(world, payment_timers=tuple(t for t in world.payment_timers if t not in due))
    for timer in due:
        world = tell_payment(world, TimerFired(timer.name, timer.step, timer.due_at))
    return world


def at_rest(world: World) -> bool:
    """Whether nothing happens any more by itself."""
    return next_moment(world) is None and not any(_work(world))


def _named(data: Any) -> str:
    return f"{type(data).__name__} {data.attempt}"
