"""Payment as a service of the runtime: which charges a batch needs, one decision after another on them, what has to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from contracts.envelope import InvalidCommand
from contracts.topics import SUBSCRIPTIONS
from messaging.decision import Message
from messaging.handler import Parts, partition_by_key
from messaging.logs import get_logger
from messaging.stamp import Stamped
from services.payment.answers import Deciding
from services.payment.domain import charge_id_of, decide
from services.payment.state import Charge
from services.payment.store import Change, ChargeStore

log = get_logger(__name__)

Key = tuple[str, str]
#: Orders kept in memory per partition; they are those with a call under way, so that its outcome needs no query.
MAX_KEPT: Final = 10_000


class PaymentHandler:
    """See `messaging.handler.Handler`. No row is shared between partitions."""

    name = "payment"
    topics = SUBSCRIPTIONS["payment"]
    interests: Mapping[str, frozenset[str]] = {}

    def __init__(self, store: ChargeStore) -> None:
        self._store = store
        self._kept: dict[int, dict[str, dict[str, Charge]]] = {}

    async def load(self, transaction: Any, parts: Parts) -> PaymentBatch:
        """See `Handler.load`."""
        about = {p: [m for m in messages if not isinstance(m.data, InvalidCommand)] for p, messages in parts.items()}
        kept = {order_id: self._kept.setdefault(p, {}) for order_id, p in partition_by_key(about).items()}
        orders: dict[str, dict[str, Charge]] = {order_id: dict(own.get(order_id, {})) for order_id, own in kept.items()}
        missing = [order_id for order_id, own in kept.items() if order_id not in own]
        if missing:
            for charge in await self._store.load(transaction, missing):
                orders[charge.order_id][charge.charge_id] = charge
        return PaymentBatch(self._store, orders, kept)

    def forget(self, partition: int) -> None:
        """See `Handler.forget`."""
        self._kept.pop(partition, None)


class PaymentBatch:
    """See `messaging.handler.Batch`. `kept`: what is kept of each order's partition."""

    def __init__(
        self,
        store: ChargeStore,
        orders: dict[str, dict[str, Charge]],
        kept: Mapping[str, dict[str, dict[str, Charge]]],
    ) -> None:
        self._store = store
        self._orders = orders
        self._kept = kept
        self._before: dict[Key, Charge | None] = {}
        self._notes: list[Stamped] = []

    def decide(self, message: Message, now: datetime) -> Deciding:
        """See `Batch.decide`."""
        charge_id = charge_id_of(message.data)
        charges = self._orders.get(message.key, {})
        before = None if charge_id is None else charges.get(charge_id)
        decision = decide(before, message, now)
        after = decision.state
        if after is not None and after != before:
            self._before.setdefault((after.order_id, after.charge_id), before)
            charges[after.charge_id] = after
        return decision

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`. There is no history; notes are what somebody ought to see in the log."""
        self._notes = [entry for entry in stamped if entry.wire is None]
        changes: list[Change] = []
        for (order_id, charge_id), before in self._before.items():
            after = replace(self._orders[order_id][charge_id], version=1 if before is None else before.version + 1)
            self._orders[order_id][charge_id] = after
            known = () if before is None else before.refunds
            changes.append(Change(after, tuple(refund for refund in after.refunds if refund not in known)))
        self._store.stage(transaction, changes)

    def committed(self) -> None:
        """See `Batch.committed`."""
        for order_id, charges in self._orders.items():
            kept = self._kept[order_id]
            if any(charge.under_way for charge in charges.values()) and len(kept) < MAX_KEPT:
                kept[order_id] = charges
            else:
                kept.pop(order_id, None)
        for note in self._notes:
            log.warning("irregular-payment", kind=note.type, key=note.key, cause=note.cause)
