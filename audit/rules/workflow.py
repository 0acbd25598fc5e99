"""What the orchestrator has on record about an order agrees with itself, whatever else is under way. One database tells it all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from audit.facts import ACCEPTED, OUTCOMES, VERDICTS, CommandRow, HistoryEntry, OrderFacts, OrderRow
from audit.fold import Folded, fold
from audit.rules.breach import Finding

#: What may still be told of an order after its outcome: verdicts on what comes too late.
AFTER_THE_END = VERDICTS

#: The history's entries about attempts; after the last one of them nothing is tried without a person.
LAST_ATTEMPT = "orders.attempt-failed"
ATTEMPTS = frozenset({LAST_ATTEMPT, "orders.retry-scheduled", "orders.asked-again", "orders.retried-now"})


def history_folds_to_state(order: OrderFacts) -> Iterator[Finding]:
    """An order's row says what its history tells: status, reason, lines, total, currency, customer, workflow, pause."""
    told, row = fold(order.history), order.row
    if told is None or row is None:
        if told is not None or row is not None:
            yield Finding(_existence(told is not None, "history"), _existence(row is not None, "row"))
        return
    if row.status not in told.statuses:
        yield Finding(" or ".join(sorted(told.statuses)), row.status, "status")
    for name, (expected, found) in _compared(told, row).items():
        if expected != found:
            yield Finding(str(expected), str(found), name)


def _existence(known: bool, where: str) -> str:
    return f"an order (the {where} has one)" if known else f"no order (the {where} has none)"


def _compared(told: Folded, row: OrderRow) -> Mapping[str, tuple[object, object]]:
    compared: dict[str, tuple[object, object]] = {
        "reason": (told.reason, row.reason),
        "items": (_lines(told), [(line.sku, line.quantity, line.unit_price_minor) for line in row.items]),
        "total_minor": (told.total_minor, row.total_minor),
        "workflow": (f"{told.workflow} v{told.workflow_version}", f"{row.workflow} v{row.workflow_version}"),
        "paused": (told.paused, row.paused),
    }
    if told.customer_id is not None:
        compared["customer_id"] = (told.customer_id, row.customer_id)
    # The row may know it before it is told: an order too large fails before stock-reserved.
    if told.currency is not None:
        compared["currency"] = (told.currency, row.currency)
    return compared


def _lines(told: Folded) -> list[tuple[str, int, int | None]]:
    return [(line.sku, line.quantity, line.unit_price_minor) for line in told.items]


def total_is_sum_of_lines(order: OrderFacts) -> Iterator[Finding]:
    """An order's total is the sum of its lines at the prices that were frozen into them."""
    row = order.row
    if row is None or row.total_minor is None:
        return
    total = sum(line.quantity * (line.unit_price_minor or 0) for line in row.items)
    if total != row.total_minor:
        yield Finding(str(total), str(row.total_minor), "total_minor")


def one_outcome(order: OrderFacts) -> Iterator[Finding]:
    """An order that has ended has told exactly one outcome, an open one none; a redelivery with the same id is the same event."""
    told = {entry.event_id or f"note {entry.seq}": entry.type for entry in order.history if entry.type in OUTCOMES}
    told |= {event.event_id: event.type for event in order.published if event.type in OUTCOMES}
    expected = 1 if order.ended else 0
    # An ended order without any: its history does not fold to its state, and that rule says so.
    if len(told) > expected:
        listed = ", ".join(f"{kind} ({event_id})" for event_id, kind in told.items())
        yield Finding(f"{expected} outcome{'' if expected == 1 else 's'}", f"{len(told)}: {listed}")


def no_resurrection(order: OrderFacts) -> Iterator[Finding]:
    """Nothing happens to an order after its outcome but verdicts on what came too late: a late answer never resurrects it."""
    ended: HistoryEntry | None = None
    for entry in order.history:
        if ended is not None and entry.event_id is not None and entry.type not in AFTER_THE_END | OUTCOMES.keys():
            yield Finding(f"nothing but verdicts after {ended.type}", entry.type, f"history {entry.seq}")
        if entry.type in OUTCOMES:
            ended = entry


def every_command_decided(order: OrderFacts) -> Iterator[Finding]:
    """No command is left undecided when its order has ended, or where there is no order."""
    if order.row is not None and not order.ended:
        return
    for command in order.commands:
        if command.accepted is None:
            yield Finding("a verdict", f"{command.type} from {command.source} is undecided", command.id)


def every_verdict_told(order: OrderFacts) -> Iterator[Finding]:
    """What was decided on a command was told by an event, and no event tells another verdict than the one that is remembered."""
    told: dict[str, set[tuple[bool, str | None]]] = {}
    for entry in order.history:
        if entry.type in VERDICTS:
            verdict = (entry.type == ACCEPTED, entry.data.get("reason"))
            told.setdefault(entry.data["command_id"], set()).add(verdict)
    decided: dict[str, set[tuple[bool, str | None]]] = {}
    for command in order.commands:
        if command.accepted is not None:
            decided.setdefault(command.id, set()).add((command.accepted, command.reason))
    if told == decided:
        return
    for command_id in sorted(told.keys() | decided.keys()):
        expected, found = decided.get(command_id, set()), told.get(command_id, set())
        if expected != found:
            yield Finding(_verdicts(expected), _verdicts(found), command_id)


def _verdicts(verdicts: set[tuple[bool, str | None]]) -> str:
    return " and ".join(sorted("accepted" if yes else f"rejected: {why}" for yes, why in verdicts)) or "no verdict"


def deadline_while_open(order: OrderFacts) -> Iterator[Finding]:
    """Every step has a deadline: an open order has a timer (unless it is paused, or was left to a person), and one that has ended
    has none."""
    if order.row is None or order.row.paused:
        return
    if not order.row.ended and not order.timers and not _left_to_a_person(order, order.row):
        yield Finding("a timer", f"{order.row.status} without one")
    if order.row.ended and order.timers:
        yield Finding("no timer", f"one that is due at {order.timers[0].isoformat()}")


def _left_to_a_person(order: OrderFacts, row: OrderRow) -> bool:
    """Whether the last attempt is told to have been the last one, and the order is on the list of those that need a person."""
    attempts = [entry for entry in order.history if entry.type in ATTEMPTS]
    return row.status == "NEEDS_ATTENTION" and bool(attempts) and attempts[-1].type == LAST_ATTEMPT


# --- against the sender's own record ----------------------------------------------------------------------------------


def every_sent_command_known(order: OrderFacts) -> Iterator[Finding]:
    """Every command that the broker took from the sender has its verdict; while its order is open it may be under decision."""
    for sent in order.sent:
        if not sent.acknowledged and sent.heard is None:
            continue  # it may or may not have arrived
        known = _remembered(order, sent.source, sent.id)
        if known is None or (known.accepted is None and (order.row is None or order.ended)):
            yield Finding(f"a verdict on {sent.type}", "none" if known is None else "undecided", sent.id)


def what_was_heard_stands(order: OrderFacts) -> Iterator[Finding]:
    """What the sender heard, of its commands and of the order's end, is what the orchestrator has on record."""
    for sent in order.sent:
        known = _remembered(order, sent.source, sent.id)
        if sent.heard is None or known is None or known.accepted is None:
            continue
        heard, stands = (sent.heard, sent.heard_reason), (known.accepted, known.reason)
        if heard != stands:
            yield Finding(_verdicts({heard}), _verdicts({stands}), sent.id)
    if order.heard_outcome is not None:
        # A sender counts an order that was refused at the start as rejected; another one may hold that id since.
        status = "none" if order.row is None else order.row.status
        if order.heard_outcome.upper() not in {status, "REJECTED"}:
            yield Finding(order.heard_outcome.upper(), status, "outcome")


def _remembered(order: OrderFacts, source: str | None, command_id: str) -> CommandRow | None:
    for command in order.commands:
        if command.id == command_id and source in {None, command.source}:
            return command
    return None
