"""The tape's words, in one table: titles by type, how details read, what is waited for. Whoever shows a tape gets them with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from contracts.money import format_minor
from services.orders.tape.piece import Fact, moment

#: Where the type alone does not read well. What is not here is told by its type: `stock-reserved` reads "Stock reserved".
TITLES: Final[dict[str, str]] = {
    "orders.start-order.v1": "Asked to start",
    "orders.start-greet.v1": "Asked to greet",
    "orders.approve-payment.v1": "Asked to approve the payment",
    "orders.cancel-order.v1": "Asked to cancel",
    "orders.add-line-item.v1": "Asked to add a line",
    "orders.cancel-by-operator.v1": "Operator: cancel",
    "orders.retry-now.v1": "Operator: retry now",
    "orders.pause-order.v1": "Operator: pause",
    "orders.resume-order.v1": "Operator: resume",
    "orders.resolve-attention.v1": "Operator: resolve",
    "orders.command-accepted.v1": "Accepted",
    "orders.command-rejected.v1": "Rejected",
    "orders.retry-scheduled": "Will be tried again",
    "orders.attempt-failed": "Failed, and is not tried again by itself",
    "orders.asked-again": "No answer: asked again",
    "orders.retried-now": "Tried again at once",
    "orders.hold-extended": "Its stock is held for longer",
    "orders.late-answer": "Came too late to change anything",
    "customer.look-up-customer.v1": "Asks customer: who is it?",
    "inventory.check-stock.v1": "Asks inventory: what is there?",
    "recommendation.recommend.v1": "Asks recommendation: what goes with it?",
    "inventory.reserve-stock.v1": "Asks inventory to hold stock",
    "inventory.release-stock.v1": "Asks inventory to give stock back",
    "inventory.extend-reservation.v1": "Asks inventory to hold on longer",
    "payment.charge.v1": "Asks payment to charge",
    "payment.void-charge.v1": "Asks payment to void the charge",
    "payment.refund.v1": "Asks payment to refund",
    "stock.held": "Stock held",
    "stock.refused": "Stock refused",
    "stock.tombstone": "Reservation barred before it came",
    "stock.released": "Stock given back",
    "stock.shipped": "Stock shipped",
    "money.charge": "Money taken",
    "money.refund": "Money given back",
}

#: What a timer was for, by the first thing that followed from it.
TIMERS: Final[dict[str, str]] = {
    "payment.charge.v1": "Time for the next try",
    "payment.void-charge.v1": "Time for the next try",
    "payment.refund.v1": "Time for the next try",
    "orders.asked-again": "Time for an answer was up",
    "orders.attempt-failed": "Time for an answer was up",
    "orders.order-enriched.v1": "Time for recommendations was up",
    "orders.command-rejected.v1": "Time for approval was up",
    "inventory.release-stock.v1": "Time for approval was up",
    "orders.order-cancelled.v1": "Time for approval was up",
}
TIMER: Final = "Time was up"

#: What a mail is about, by how far it has come.
MAILS: Final[dict[str, str]] = {
    "waiting": "Mail waits for an address: {kind}",
    "sending": "Mail is being sent: {kind}",
    "retrying": "Mail will be tried again: {kind}",
    "sent": "Mail sent: {kind}",
    "undeliverable": "Mail cannot be delivered: {kind}",
}

# --- what is waited for ---------------------------------------------------------------------------------------------------

APPROVAL: Final = "waiting for approval"
PAUSED: Final = "paused by an operator"
RETRY: Final = "waiting before the next try"
PERSON: Final = "waiting for a person"
ENDED: Final = "the order had ended"
NOTHING: Final = "nothing on record says why"
UNREAD: Final = "unread on {topic} (the orders service was away or busy)"
UNSEEN: Final = "the time was up and nobody saw it (the orders service was away or busy)"
#: By the request whose answer is outstanding; several are told together.
AWAITED: Final[dict[str, str]] = {
    "customer.look-up-customer.v1": "customer",
    "inventory.check-stock.v1": "inventory",
    "recommendation.recommend.v1": "recommendation",
    "inventory.reserve-stock.v1": "inventory to hold the stock",
    "inventory.release-stock.v1": "inventory to give the stock back",
    "payment.charge.v1": "payment to charge",
    "payment.void-charge.v1": "payment to say whether anything was charged",
    "payment.refund.v1": "payment to refund",
}


def waiting_for(requests: Sequence[str]) -> str:
    """The words for outstanding requests, by their types."""
    told = dict.fromkeys(AWAITED.get(request, request.split(".")[0]) for request in requests)
    return f"waiting for {' and '.join(told)}"


def gap(duration_s: float, why: str, open_end: bool = False) -> str:
    """The text of a gap."""
    return f"{spoken(duration_s)}{' so far' if open_end else ''}: {why}"


def spoken(duration_s: float) -> str:
    """`41 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`: the two largest units say enough."""
    if duration_s < 10:
        return f"{duration_s:.1f} s".replace(".0 s", " s")
    whole = int(duration_s)
    found: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count or found:
            found.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in found[:2] if count)


# --- titles and details ---------------------------------------------------------------------------------------------------


def title(type_: str) -> str:
    """What stands at the head of an entry of this type."""
    known = TITLES.get(type_)
    if known is not None:
        return known
    name = short(type_).replace("-", " ").replace("_", " ")
    return name[:1].upper() + name[1:]


def short(type_: str) -> str:
    """The type without service and version."""
    parts = type_.split(".")
    return parts[1] if len(parts) > 1 else type_


def details(data: Fact) -> str:
    """What is worth reading of an entry's data."""
    return ", ".join(told for read in _DETAILS if (told := read(data)))


def _lines(data: Fact) -> str:
    items = [item for item in data.get("items") or () if isinstance(item, dict)]
    told = [f"{item.get('quantity')} x {item.get('sku')}" for item in items[:3]]
    more = len(items) - len(told)
    return " + ".join([*told, f"{more} more"] if more > 0 else told)


def _line(data: Fact) -> str:
    return f"{data['quantity']} x {data['sku']}" if data.get("sku") and data.get("quantity") else ""


def _money(data: Fact) -> str:
    amounts = [data[name] for name in ("total_minor", "amount_minor") if isinstance(data.get(name), int)]
    return format_minor(amounts[0], data.get("currency") or "").rstrip() if amounts else ""


def _field(name: str, text: str = "{}") -> Callable[[Fact], str]:
    def read(data: Fact) -> str:
        value: Any = data.get(name)
        return "" if value is None or value == "" else text.format(value)

    return read


def _when(name: str, text: str) -> Callable[[Fact], str]:
    def read(data: Fact) -> str:
        value = data.get(name)
        return "" if value is None else text.format(clock(value))

    return read


def clock(at: datetime | str) -> str:
    """A moment, to the second; what is no moment is told as it is."""
    try:
        return f"{moment(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return str(at)


def _again(data: Fact) -> str:
    return "again: it had been decided before" if data.get("duplicate") is True else ""


def _command(data: Fact) -> str:
    return short(str(data["command_type"])).replace("-", " ") if data.get("command_type") else ""


def _recommended(data: Fact) -> str:
    found = data.get("recommendations")
    return f"goes with {', '.join(map(str, found))}" if isinstance(found, list) and found else ""


#: In this order.
_DETAILS: Final[tuple[Callable[[Fact], str], ...]] = (
    _command,
    _again,
    _field("step"),
    _field("failed_attempt", "attempt {} failed"),
    _field("attempt", "attempt {}"),
    _field("failure"),
    _line,
    _lines,
    _money,
    _field("approved_by", "by {}"),
    _field("operator", "by {}"),
    _field("tier", "tier {}"),
    _recommended,
    _when("deadline", "until {}"),
    _when("expires_at", "until {}"),
    _field("resolution"),
    _field("evidence", "evidence: {}"),
    _field("reason"),
    _field("message"),
    _field("error"),
    _when("next_attempt_at", "next try at {}"),
    _field("greeting"),
    _field("attempts", "attempt {}"),
    _field("last_error"),
    _field("status"),
    _field("reservation_id"),
    _field("charge_id"),
)
