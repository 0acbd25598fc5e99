"""The stock room as a service: which rows a batch needs, one decision after another on them, and what has to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from contracts.envelope import InvalidCommand
from contracts.inventory import (
    AdjustStock,
    CheckStock,
    ExtendReservation,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
)
from contracts.orders import OrderCompleted
from contracts.topics import ORDERS_EVENTS, SUBSCRIPTIONS
from messaging.decision import Decision, Message, TimerFired
from messaging.handler import Parts, all_of
from messaging.logs import get_logger
from messaging.stamp import Stamped
from services.inventory.domain import decide
from services.inventory.holds import SWEEP_LIMIT
from services.inventory.ledger import Changes, CommandKey, Ledger, Reservation, ReservationKey, ShopAnswer, Stock, Sweep
from services.inventory.shop import command_key
from services.inventory.store import InventoryStore, Irregularity, Writes

log = get_logger(__name__)

INTERESTS: Final[Mapping[str, frozenset[str]]] = {ORDERS_EVENTS: frozenset({"orders.order-completed.v1"})}


class InventoryBatch:
    """See `messaging.handler.Batch`. The stock rows in it are locked until the commit; those that are only `seen` are not."""

    def __init__(
        self,
        store: InventoryStore,
        default_currency: str,
        stock: dict[str, Stock],
        reservations: dict[ReservationKey, Reservation],
        answers: dict[CommandKey, ShopAnswer],
        seen: Mapping[str, Stock],
        sweeps: Mapping[str, Sweep],
        armed: dict[int, datetime | None],
    ) -> None:
        self._store = store
        self._default_currency = default_currency
        self._stock = stock
        self._reservations = reservations
        self._answers = answers
        # All partitions sell the same pieces; each has its own timer.
        self._ledgers = {
            sweep.partition: Ledger(stock, reservations, answers, seen, sweep) for sweep in sweeps.values()
        }
        self._partition_of = {key: sweep.partition for key, sweep in sweeps.items()}
        self._armed = armed
        self._loaded_stock = frozenset(stock)
        self._loaded_reservations = frozenset(reservations)
        self._changed_stock: dict[str, None] = {}
        self._changed_reservations: dict[ReservationKey, None] = {}
        self._answered: dict[CommandKey, datetime] = {}
        self._irregularities: list[Irregularity] = []

    def decide(self, message: Message, now: datetime) -> Decision[Changes]:
        """See `Batch.decide`."""
        ledger = self._ledgers[self._partition_of[message.key]]
        decision = decide(ledger, message, now, self._default_currency)
        changes = decision.state
        self._stock.update(changes.stock)
        self._reservations.update(changes.reservations)
        self._answers.update(changes.answers)
        self._changed_stock.update(dict.fromkeys(changes.stock))
        self._changed_reservations.update(dict.fromkeys(changes.reservations))
        self._answered.update(dict.fromkeys(changes.answers, now))
        if changes.sweep is not None:
            self._ledgers[changes.sweep.partition] = replace(ledger, sweep=changes.sweep)
        return decision

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`. Notes are the irregular messages."""
        self._irregularities = [_irregularity(entry) for entry in stamped if entry.event_id is None]
        self._store.stage(transaction, self._writes())

    def committed(self) -> None:
        """See `Batch.committed`. Of the rows none is kept; what should not have happened is said aloud."""
        for partition, ledger in self._ledgers.items():
            self._armed[partition] = ledger.sweep.armed_for
        for found in self._irregularities:
            log.warning(
                "irregular-reservation", kind=found.kind, state=found.state, key=found.order_id, cause=found.cause
            )

    def _writes(self) -> Writes:
        writes = Writes(irregularities=self._irregularities)
        for sku in self._changed_stock:
            loaded = sku in self._loaded_stock
            (writes.changed_stock if loaded else writes.new_stock).append(self._stock[sku])
        for key in self._changed_reservations:
            row = self._reservations[key]
            loaded = key in self._loaded_reservations
            (writes.changed_reservations if loaded else writes.new_reservations).append(row)
        writes.answers.extend((key, self._answers[key], at) for key, at in self._answered.items())
        return writes


class InventoryHandler:
    """See `messaging.handler.Handler`. `default_currency` is that of a new SKU whose receipt names none."""

    name = "inventory"
    topics = SUBSCRIPTIONS["inventory"]
    interests = INTERESTS

    def __init__(self, store: InventoryStore, default_currency: str) -> None:
        self._store = store
        self._default_currency = default_currency
        # For when each partition's timer is set, or earlier: what a new hold is compared with.
        self._armed: dict[int, datetime | None] = {}

    async def load(self, transaction: Any, parts: Parts) -> InventoryBatch:
        """See `Handler.load`. Reservations and answers first: they tell which stock has to be locked."""
        messages = all_of(parts)
        asked = _reservation_keys(messages)
        shop = {command_key(m) for m in messages if isinstance(m.data, InvalidCommand | ReceiveStock | AdjustStock)}
        reservations = await self._store.reservations(transaction, asked) if asked else {}
        answers = await self._store.answers(transaction, shop) if shop else {}
        skus = _skus_to_lock(messages, reservations, answers)
        stock = await self._store.locked_stock(transaction, skus) if skus else {}
        # After the locks: what is locked stands still, so both together are the stock of this one moment.
        looked_at = {sku for m in messages if isinstance(m.data, CheckStock) for sku in m.data.skus} - skus
        seen = await self._store.seen_stock(transaction, looked_at) if looked_at else {}
        sweeps: dict[str, Sweep] = {}
        for partition, own in parts.items():
            sweep, due = await self._sweep(transaction, partition, own)
            reservations = {**due, **reservations}
            sweeps |= dict.fromkeys((message.key for message in own), sweep)
        return InventoryBatch(
            self._store, self._default_currency, stock, reservations, answers, seen, sweeps, self._armed
        )

    async def _sweep(
        self, transaction: Any, partition: int, messages: Sequence[Message]
    ) -> tuple[Sweep, dict[ReservationKey, Reservation]]:
        """How the partition's timer stands, and where it has fired, the holds that are over: their stock is not touched."""
        fired = next((m.data for m in messages if isinstance(m.data, TimerFired)), None)
        if fired is not None:
            due = await self._store.holds_due(transaction, partition, fired.due_at, SWEEP_LIMIT)
            following = await self._store.next_announcement(transaction, partition, fired.due_at)
            return Sweep(partition, fired.due_at, tuple(due), following), due
        if partition not in self._armed:
            # The timer stands at the first announcement or, where that hold has ended since, before it.
            first = await self._store.next_announcement(transaction, partition, None)
            self._armed[partition] = first
        return Sweep(partition, self._armed[partition]), {}

    def forget(self, partition: int) -> None:
        """See `Handler.forget`."""
        self._armed.pop(partition, None)


def _reservation_keys(messages: Sequence[Message]) -> set[ReservationKey]:
    keys: set[ReservationKey] = set()
    for message in messages:
        data = message.data
        if isinstance(data, ReserveStock | ReleaseStock | ExtendReservation):
            keys.add((message.key, data.reservation_id))
        elif isinstance(data, OrderCompleted):
            keys.update((message.key, reservation_id) for reservation_id in data.reservation_ids)
    return keys


def _skus_to_lock(
    messages: Sequence[Message],
    reservations: Mapping[ReservationKey, Reservation],
    answers: Mapping[CommandKey, ShopAnswer],
) -> set[str]:
    """Every SKU that a decision on these messages may look at or change. Repeats need none."""
    skus: set[str] = set()
    for message in messages:
        data = message.data
        if isinstance(data, ReserveStock):
            if (message.key, data.reservation_id) not in reservations:
                skus.update(item.sku for item in data.items)
        elif isinstance(data, ReceiveStock | AdjustStock) and command_key(message) not in answers:
            skus.add(data.sku)
    for reservation in reservations.values():
        if reservation.state == "held":
            skus.update(line.sku for line in reservation.lines)
    return skus


def _irregularity(note: Stamped) -> Irregularity:
    data = note.data
    assert isinstance(data, dict), "a note's data is plain JSON"
    return Irregularity(note.key, str(data["reservation_id"]), note.type, str(data["state"]), note.cause, note.at)
