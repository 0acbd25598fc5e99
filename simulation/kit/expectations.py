"""What a test may expect of the system. What is not so fails with the conversation that was held instead."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self, TypeVar

from audit.facts import OUTCOMES, VERDICTS
from contracts.values import CommandData, EventData
from services.payment.gateway.ledger import EntryKind
from simulation.kit.conversation import Conversation, kind_of
from simulation.kit.promises import check_promises
from simulation.kit.words import ORDER
from simulation.system import System

M = TypeVar("M", bound=CommandData | EventData)


class Unexpected(AssertionError):  # noqa: N818 - it is what happened
    """What was expected, what was so instead, and the conversation that led there."""


class Expectations:
    """What can be expected, and asked. Every method is about one order, `O` unless another one is named."""

    def __init__(self, system: System, played: Collection[str]) -> None:
        self.system = system
        self._talk = Conversation(system, played)

    # --- messages -----------------------------------------------------------------------------------------------------

    def expect(self, model: type[M], *, order: str = ORDER, times: int | None = 1, **fields: object) -> M:
        """Since the last thing that the test did, this was said with these fields: once, or so many `times`, or (None) at least
        once. Returns it; the last one of several. Every message has its model in `contracts`."""
        __tracebackhide__ = True
        _check_fields(model, fields)
        found = self._talk.heard(model, order, lately=True)
        fitting = [data for data in found if _fits(data, fields)]
        if not fitting or (times is not None and len(fitting) != times):
            wanted = "at least once" if times is None else _times(times)
            said = f"it was said {_times(len(fitting))}" if fitting or not found else f"what was said is {found}"
            self._fail(f"{_described(model, fields)} {wanted}{self._after()}", said, order)
        return fitting[-1]

    def expect_no(self, model: type[M], *, order: str = ORDER, **fields: object) -> None:
        """Since the last thing that the test did, nothing of this type (with these fields) was said."""
        __tracebackhide__ = True
        _check_fields(model, fields)
        found = [data for data in self._talk.heard(model, order, lately=True) if _fits(data, fields)]
        if found:
            self._fail(f"no {_described(model, fields)}{self._after()}", f"it was said {_times(len(found))}", order)

    def expect_events(self, *models: type[EventData], order: str = ORDER) -> None:
        """What the order has told of itself since its beginning is exactly this, in this order. (Verdicts are no part of it; see
        `Saying.expect`.)"""
        __tracebackhide__ = True
        wanted = [kind_of(model)[1] for model in models]
        told = [event.type for event in self.system.events(order) if event.type not in VERDICTS]
        if told != wanted:
            self._fail(f"the events {wanted}", f"the events were {told}", order)

    def heard(self, model: type[M], order: str = ORDER) -> list[M]:
        """Everything of this type that was said about the order since its beginning."""
        return self._talk.heard(model, order)

    # --- the order ----------------------------------------------------------------------------------------------------

    def expect_status(self, status: str, waiting_for: str | None = None, *, order: str = ORDER) -> None:
        """The order stands there, and waits for that, where it is said."""
        __tracebackhide__ = True
        found = self._order(order)
        if found["status"] != status or waiting_for not in (None, found["waiting_for"]):
            waiting = "" if waiting_for is None else f", waiting for {waiting_for}"
            self._fail(f"{order} to be {status}{waiting}{self._after()}", "it is not", order)

    def expect_outcome(self, status: str, reason: str | None = None, *, order: str = ORDER) -> None:
        """The order has ended so, for this reason, and has told it once."""
        __tracebackhide__ = True
        found = self._order(order)
        told = [event.data for event in self.system.events(order) if OUTCOMES.get(event.type) == status]
        if (found["status"], found["reason"]) != (status, reason) or len(told) != 1:
            why = "" if reason is None else f" ({reason})"
            self._fail(f"{order} to have ended as {status}{why}{self._after()}", "it has not", order)

    def order(self, order: str = ORDER) -> dict[str, Any]:
        """As `GET /orders/{id}` reads."""
        return self.system.order(order)

    def status(self, order: str = ORDER) -> str:
        """Where the order stands."""
        return str(self.system.order(order)["status"])

    def waiting_for(self, order: str = ORDER) -> str | None:
        """What the order waits for."""
        found: str | None = self.system.order(order)["waiting_for"]
        return found

    def retries(self, order: str = ORDER) -> list[float]:
        """The waits before further attempts, in seconds, as the history tells them."""
        entries = self.system.history(order)
        return [entry["data"]["delay_s"] for entry in entries if entry["type"] == "orders.retry-scheduled"]

    # --- stock, money, mails --------------------------------------------------------------------------------------------

    def expect_stock(self, sku: str, *, on_hand: int, held: int = 0, shipped: int = 0) -> None:
        """So many pieces can still be held, are held and were shipped."""
        __tracebackhide__ = True
        row = self.system.stock(sku)
        found = (row["on_hand"], row["held"], row["shipped"])
        if found != (on_hand, held, shipped):
            wanted = f"{sku} to have {on_hand} on hand, {held} held, {shipped} shipped"
            self._fail(f"{wanted}{self._after()}", "it has {} on hand, {} held, {} shipped".format(*found), sku)

    def expect_money(self, *amounts_minor: int, order: str = ORDER) -> None:
        """Exactly this moved, in this order (see `money`)."""
        __tracebackhide__ = True
        found = self.money(order)
        if found != amounts_minor:
            self._fail(f"the money to have moved as {amounts_minor}{self._after()}", f"it moved as {found}", order)

    def money(self, order: str = ORDER) -> tuple[int, ...]:
        """What moved, in minor units, by the gateway's own ledger: charges above 0, refunds below."""
        entries = self.system.gateway_entries(order)
        return tuple(e.amount_minor if e.kind is EntryKind.CHARGE else -e.amount_minor for e in entries)

    def expect_mails(self, *kinds: str, order: str = ORDER) -> None:
        """The customer got exactly these mails about the order."""
        __tracebackhide__ = True
        found = tuple(mail.kind for mail in self.system.mails(order))
        if found != kinds:
            self._fail(f"the mails {kinds}{self._after()}", f"the mails were {found}", order)

    def expect_promises_kept(self) -> None:
        """Everything has ended, and the audit and the test kit find nothing wrong. Raises `AssertionError` with what they find."""
        __tracebackhide__ = True
        check_promises(self.system)

    # --- failing ------------------------------------------------------------------------------------------------------

    def _order(self, order: str) -> dict[str, Any]:
        __tracebackhide__ = True
        try:
            return self.system.order(order)
        except KeyError:
            self._fail(f"an order {order}", "there is none", order)

    def _after(self) -> str:
        return f' after "{self._talk.last_deed}"'

    def _fail(self, expected: str, instead: str, key: str) -> NoReturn:
        __tracebackhide__ = True
        known = key in self.system.parts.orders.states
        state = f"\n{_state(self.system.order(key))}" if known else ""
        raise Unexpected(f"Expected {expected}; {instead}.{state}\n{self._talk.told(key)}")


@dataclass(frozen=True, slots=True)
class Saying:
    """Something that was said to the system, and what it was told."""

    id: str
    key: str
    said: str
    answers_on: str
    _shop: Expectations = field(repr=False)

    @property
    def verdict(self) -> str:
        """`accepted`, or the reason of a rejection, either with ` again` for a duplicate; `undecided` while there is none."""
        told = [
            event.data
            for event in self._shop.system.events(self.key, self.answers_on)
            if getattr(event.data, "command_id", None) == self.id
        ]
        if not told:
            return "undecided"
        word = str(getattr(told[-1], "reason", "accepted"))
        return f"{word} again" if getattr(told[-1], "duplicate", False) else word

    def expect(self, verdict: str) -> Self:
        """It was told this verdict (see `verdict`)."""
        __tracebackhide__ = True
        if self.verdict != verdict:
            self._shop._fail(f"{self.said} to be told {verdict!r}", f"it is {self.verdict!r}", self.key)
        return self


def _check_fields(model: type[M], fields: dict[str, object]) -> None:
    """A field that no such message has would never be found, and never be missed."""
    unknown = fields.keys() - model.model_fields.keys()
    if unknown:
        raise TypeError(
            f"{kind_of(model)[1]} has no {', '.join(sorted(unknown))}; it has {', '.join(model.model_fields)}."
        )


def _fits(data: CommandData | EventData, fields: dict[str, object]) -> bool:
    return all(getattr(data, name) == value for name, value in fields.items())


def _described(model: type[M], fields: dict[str, object]) -> str:
    said = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return kind_of(model)[1] + (f" with {said}" if said else "")


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _state(order: dict[str, Any]) -> str:
    reason = f" ({order['reason']})" if order["reason"] else ""
    waiting = f", waiting for {order['waiting_for']}" if order["waiting_for"] else ""
    deadline = f" until {order['deadline']:%H:%M:%S}" if order["deadline"] else ""
    return f"{order['order_id']} is {order['status']}{reason}{waiting}{deadline}."
