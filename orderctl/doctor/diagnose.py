"""From facts to a diagnosis. Pure: the same facts always make the same chain.

First what the order itself says (paused, ended, its deadline passed), then the orders service, which everything goes through, then
whoever owes the answer, and last what they say of each other (a gateway that fails, a person who is needed).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from contracts.topics import DEFAULT_PARTITIONS
from messaging.partitioner import partition_of
from orderctl.doctor.chain import Advice, Diagnosis, Finding, Link, State, quoting, since, span, verb
from orderctl.doctor.facts import OrderFacts, Request, World
from orderctl.doctor.rules import cause_at
from orderctl.doctor.spot import Spot, at
from orderctl.doctor.story import ASKED, ENDED, Retry, attention_of, open_requests, paused_by, retry_of, since_of

#: An answer takes milliseconds; after so long something is in its way.
EXPECTED: Final = timedelta(seconds=10)
#: A timer fires in the turn after its time.
TIMER_GRACE: Final = timedelta(seconds=3)
#: What a retry that is due may take before its outcome shows: the call's own deadline, and some.
RETRY_GRACE: Final = timedelta(seconds=20)


def partition_for(order_id: str, world: World) -> int:
    """The partition of the order's messages."""
    return partition_of(order_id, world.partition_count or DEFAULT_PARTITIONS)


def diagnose(order: OrderFacts, world: World) -> Diagnosis:
    """Why the order stands where it stands."""
    if not order.found:
        return _unknown(order, world) if order.found is not None else _cannot_be_asked(order, world)
    if order.status in ENDED:
        why = f" ({order.reason})" if order.reason else ""
        return _made(order, "ended", "ended", [Link(f"the order has ended: {order.status}{why}")])
    return _open(order, world)


def _open(order: OrderFacts, world: World) -> Diagnosis:
    base = _base(order, world)
    if order.paused:
        return _paused(order, world, base)
    found = _at_service(order, world, "orders", None)
    if found is not None:
        return _with_cause(order, base, found, "orders", order.deadline is not None and _overdue(order, world))
    if order.waiting_for == "approval":
        return _approval(order, world, base)
    return _awaited(order, world, base)


def _made(
    order: OrderFacts,
    state: State,
    cause: str,
    chain: Sequence[Link],
    advice: Sequence[Advice] = (),
    subject: str | None = None,
    found: int = 1,
) -> Diagnosis:
    """`found`: so many links at the end are the cause."""
    return Diagnosis(order.order_id, state, cause, tuple(chain), tuple(advice), subject, len(chain) - found)


def _base(order: OrderFacts, world: World) -> list[Link]:
    began = since_of(order)
    told = {"status": order.status, "waiting_for": order.waiting_for, "since": began, "deadline": order.deadline}
    chain = [Link(f"the order is {order.status} and waits for {order.waiting_for}{since(began, world.now)}", told)]
    attention = attention_of(order)
    if attention is not None:
        chain.append(quoting("it is on the list of orders that need a person", attention))
    return chain


def _at_service(order: OrderFacts, world: World, service: str, request: Request | None) -> tuple[str, Finding] | None:
    spot = Spot(world, service, partition_for(order.order_id, world), order.order_id, since_of(order), request)
    return cause_at(spot)


def _with_cause(
    order: OrderFacts, base: list[Link], found: tuple[str, Finding], service: str, overdue: bool
) -> Diagnosis:
    cause, finding = found
    late = (
        [Link("its deadline has passed and its timer has not fired", {"deadline": order.deadline})] if overdue else []
    )
    return _made(
        order, finding.state, cause, [*base, *late, *finding.links], finding.advice, service, len(finding.links)
    )


# --- what the order itself says ---------------------------------------------------------------------------------------


def _cannot_be_asked(order: OrderFacts, world: World) -> Diagnosis:
    link = Link("the orders API cannot be asked where the order is")
    advice = [Advice("Start the orders API (and its database).", "make status")]
    found = _at_service(order, world, "orders", None)
    if found is None:
        return _made(order, "unknown", "orders-api-away", [link], advice, "orders-api")
    return _made(order, "unknown", found[0], [link, *found[1].links], [*advice, *found[1].advice], "orders")


def _unknown(order: OrderFacts, world: World) -> Diagnosis:
    waiting = [found for found in world.waiting if found.topic.startswith("orders.")]
    letters = [letter for letter in world.dead_letters if letter.service == "orders" and letter.key == order.order_id]
    if not waiting and not letters:
        link = Link("there is no such order, and no command for it waits to be read")
        advice = Advice("Was its start-order rejected or never sent? The newest orders:", "orderctl list")
        return _made(order, "unknown", "unknown-order", [link], [advice])
    first = waiting[0] if waiting else None
    links = [Link("there is no such order yet")]
    request = None
    if first is not None:
        where = at(first.topic, first.partition, first.offset)
        links.append(Link(f"{first.type} at {where} is not consumed", {"id": first.id}))
        request = Request("orders", first.type, first.topic, first.offset, None)
    found = _at_service(order, world, "orders", request)
    if found is None:
        return _made(order, "moving", "being-read", links)
    return _made(order, found[1].state, found[0], [*links, *found[1].links], found[1].advice, "orders")


def _paused(order: OrderFacts, world: World, base: list[Link]) -> Diagnosis:
    operator, when = paused_by(order)
    link = Link(
        f"{operator} paused it{since(when, world.now)}; nothing new is begun until it is resumed",
        {"at": when},
        operator,
    )
    advice = Advice("Let it go on.", verb("resume", order.order_id, "--reason TEXT"))
    return _made(order, "stuck", "paused", [*base, link], [advice])


def _overdue(order: OrderFacts, world: World) -> bool:
    return order.deadline is not None and order.deadline + TIMER_GRACE < world.now


def _approval(order: OrderFacts, world: World, base: list[Link]) -> Diagnosis:
    if not _overdue(order, world) or order.deadline is None:
        left = "" if order.deadline is None else f", for {span(order.deadline - world.now)} more"
        link = Link(f"a person has to approve it{left}; nothing is wrong")
        advice = Advice("Approve it, or cancel it.", verb("approve", order.order_id))
        return _made(order, "waiting", "approval", [*base, link], [advice])
    return _timer_lost(order, world, base, f"its deadline passed {span(world.now - order.deadline)} ago")


def _timer_lost(order: OrderFacts, world: World, base: list[Link], late: str) -> Diagnosis:
    here = Spot(world, "orders", partition_for(order.order_id, world), order.order_id).here
    link = Link(f"{late} and its timer has not fired")
    gone = Link(
        "the orders service is at work and has no timer that is due: the order's own is gone",
        {"next_due_at": here.next_due_at if here is not None else None},
    )
    advice = (
        Advice("Pausing and resuming sets the timer anew.", verb("pause", order.order_id, "--reason TEXT")),
        Advice("Then:", verb("resume", order.order_id, "--reason TEXT")),
    )
    return _made(order, "stuck", "timer-lost", [*base, link, gone], advice, "orders", 2)


# --- who owes the answer ----------------------------------------------------------------------------------------------


def _awaited(order: OrderFacts, world: World, base: list[Link]) -> Diagnosis:
    for request in _asked(order):
        found = _at_service(order, world, request.service, request)
        if found is not None:
            chain = [*base, _stands(order, world, request)]
            return _with_cause(order, chain, found, request.service, False)
    return _backing_off(order, world, base) or _nothing_in_its_way(order, world, base)


def _asked(order: OrderFacts) -> tuple[Request, ...]:
    """What was asked and is not answered: as its history tells it, else as it follows from what the order waits for."""
    waited_for = ASKED.get(order.waiting_for or "", ())
    # A recommendation is not waited for longer than its own short deadline.
    needed = [service for service in waited_for if service != "recommendation"]
    told = tuple(request for request in open_requests(order) if request.service in needed)
    return told or tuple(Request(service, "", f"{service}.commands.v1", None, None) for service in needed)


def _stands(order: OrderFacts, world: World, request: Request) -> Link:
    partition = partition_for(order.order_id, world)
    evidence = {"service": request.service, "type": request.type, "topic": request.topic, "partition": partition}
    if request.offset is None:
        asked = f"the command {request.type} is not known to stand on" if request.type else "its commands stand on"
        return Link(f"{request.service} owes the answer; {asked} {request.topic}", evidence)
    spot = Spot(world, request.service, partition, order.order_id, None, request)
    word = {True: "is consumed and not answered", False: "is not consumed", None: "is on its topic"}[spot.consumed]
    where = at(request.topic, partition, request.offset)
    return Link(f"the command {request.type} at {where} {word}", {**evidence, "offset": request.offset})


def _backing_off(order: OrderFacts, world: World, base: list[Link]) -> Diagnosis | None:
    """Attempt after attempt fails: the participant answers, and its answer is that it did not work."""
    retry, waits_for = retry_of(order), order.waiting_for or ""
    if retry is None:
        return None
    due = retry.due_at
    if due is not None and not retry.made and due + RETRY_GRACE < world.now:
        return _timer_lost(order, world, base, f"its next attempt was due {span(world.now - due)} ago")
    coming = _coming(retry, world)
    link = Link(
        f"attempt {retry.attempt} of {waits_for} failed; {coming}",
        {"attempt": retry.attempt, "error": retry.error, "next_attempt_at": due},
    )
    why = quoting("the answer was", retry.error or "no reason was told")
    now = Advice("Skip the wait, once the cause is mended.", verb("retry-now", order.order_id, "--reason TEXT"))
    if waits_for == "refund":
        settled = Advice(
            "If the money was given back by hand:",
            verb("resolve-attention", order.order_id, "--resolution settled --evidence TEXT --reason TEXT"),
        )
        return _made(order, "stuck", "refund-failing", [*base, link, why], [now, settled], "payment", 2)
    if waits_for not in ("payment", "payment-outcome"):
        asked = next(iter(ASKED.get(waits_for, ())), None)
        return _made(order, "stuck", "attempts-failing", [*base, link, why], [now], asked, 2)
    gateway = Advice("See that the payment gateway answers; no charge is lost or made twice meanwhile.")
    return _made(order, "stuck", "gateway", [*base, link, why], [gateway, now], "payment", 2)


def _coming(retry: Retry, world: World) -> str:
    if retry.made:
        return "the next one is under way"
    if retry.due_at is None:
        return "by itself it is not tried again"
    return f"the next one is due in {span(retry.due_at - world.now)}"


def _nothing_in_its_way(order: OrderFacts, world: World, base: list[Link]) -> Diagnosis:
    began = since_of(order)
    subject = next(iter(ASKED.get(order.waiting_for or "", ())), None)
    under_way = _effects(order, world)
    if began is None or world.now - began < EXPECTED:
        link = Link("nothing stands in its way: it goes on by itself")
        return _made(order, "moving", "moving", [*base, *under_way, link], (), subject)
    if under_way:
        gateway = Advice("See that the payment gateway answers; every call ends by its own deadline.")
        return _made(order, "stuck", "gateway", [*base, *under_way], [gateway], subject)
    unseen = Link("everything that could be asked is at work; what holds it up cannot be seen from outside")
    advice = (
        Advice("What happened to it so far:", verb("history", order.order_id)),
        Advice("The orders service asks again by itself, first after 15 s; its log:", "python -m devstack logs orders"),
    )
    return _made(order, "stuck", "unexplained", [*base, unseen], advice, subject)


def _effects(order: OrderFacts, world: World) -> list[Link]:
    if "payment" not in ASKED.get(order.waiting_for or "", ()):
        return []
    here = Spot(world, "payment", partition_for(order.order_id, world), order.order_id).here
    if here is None or not here.effects:
        return []
    return [Link(f"payment has {here.effects} calls of its gateway under way", {"effects_under_way": here.effects})]
