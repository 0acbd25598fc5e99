"""Orders on the runtime: state from memory or the database, one decision after another, one set-based write."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from contracts import customer, inventory, payment, recommendation
from contracts.topics import CUSTOMER_EVENTS, INVENTORY_EVENTS, PAYMENT_EVENTS, RECOMMENDATION_EVENTS, SUBSCRIPTIONS
from contracts.values import CommandData
from messaging.decision import Decision, Message, Note, TimerFired
from messaging.handler import Parts, partition_by_key
from messaging.stamp import Stamped
from services.orders.domain import Verdict, View, decide
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.history import NOTED
from services.orders.store import MOST_VERDICTS, Changes, Kept, Named, OrdersStore

#: What a reply can be that the workflow reads; other events on the participants' topics are for others.
REPLIES: Final = frozenset(
    {
        "inventory.stock-checked.v1",
        "inventory.stock-reserved.v1",
        "inventory.reservation-refused.v1",
        "inventory.reservation-expired.v1",
        "inventory.stock-released.v1",
        *payment.EVENTS,
        "customer.customer-found.v1",
        "customer.customer-unknown.v1",
        *recommendation.EVENTS,
    }
)

#: How many open orders of a partition stay in memory between batches. Who has ended is rarely asked for anything again.
CACHED_ORDERS: Final = 10_000

Cache = OrderedDict[str, Kept]


class OrdersHandler:
    """See `messaging.handler.Handler`. An order's state is kept in memory between batches: its partition has one owner."""

    name = "orders"
    topics = SUBSCRIPTIONS["orders"]
    interests: Mapping[str, frozenset[str]] = {
        INVENTORY_EVENTS: REPLIES & inventory.EVENTS.keys(),
        PAYMENT_EVENTS: REPLIES & payment.EVENTS.keys(),
        CUSTOMER_EVENTS: REPLIES & customer.EVENTS.keys(),
        RECOMMENDATION_EVENTS: REPLIES & recommendation.EVENTS.keys(),
    }

    def __init__(self, store: OrdersStore, policies: Policies = DEFAULTS) -> None:
        self._store = store
        self._policies = policies
        self._caches: dict[int, Cache] = defaultdict(OrderedDict)

    async def load(self, transaction: Any, parts: Parts) -> OrdersBatch:
        """See `Handler.load`."""
        caches = {key: self._caches[partition] for key, partition in partition_by_key(parts).items()}
        missing: dict[str, set[Named]] = {key: set() for key, cache in caches.items() if key not in cache}
        for messages in parts.values() if missing else ():
            for message in messages:
                if message.key in missing:
                    missing[message.key].add((message.source, message.id))
        loaded = await self._store.load(transaction, missing) if missing else {}
        rows = {key: loaded[key] if key in loaded else cache[key] for key, cache in caches.items()}
        return OrdersBatch(self._store, self._policies, caches, rows)

    def forget(self, partition: int) -> None:
        """See `Handler.forget`."""
        self._caches.pop(partition, None)


class OrdersBatch:
    """See `messaging.handler.Batch`. `caches`: that of each key's partition."""

    def __init__(
        self,
        store: OrdersStore,
        policies: Policies,
        caches: Mapping[str, Cache],
        rows: dict[str, Kept],
    ) -> None:
        self._store = store
        self._policies = policies
        self._caches = caches
        self._rows = rows
        self._views = {key: row.view for key, row in rows.items()}
        self._verdicts: list[tuple[str, Verdict, CommandData | None]] = []
        self._at = datetime.min.replace(tzinfo=UTC)

    @property
    def views(self) -> Mapping[str, View]:
        """What is known now of each order in the batch."""
        return self._views

    def decide(self, message: Message, now: datetime) -> Decision[View]:
        """See `Batch.decide`. What was read and nothing was said about stands in the history all the same: that it came, and where
        from. A timer that fires early is no news, and nobody asks for the history of what is no order."""
        decision = self.move(message, now)
        if decision.says or decision.state.order is None or isinstance(message.data, TimerFired):
            return decision
        return replace(decision, says=(Note(NOTED, {"type": message.type}),))

    def move(self, message: Message, now: datetime) -> Decision[View]:
        """What the workflow decides."""
        decision = decide(self._views[message.key], message, now, self._policies)
        self._views[message.key] = decision.state
        self._verdicts.extend((message.key, verdict, _asked(message, verdict)) for verdict in decision.state.fresh)
        self._at = now
        return decision

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`."""
        changed = []
        for key, view in self._views.items():
            before, version, whole = self._rows[key]
            if view.order is not None and view.order is not before.order:
                version += 1
                changed.append((view.order, version))
            self._rows[key] = Kept(view, version, whole)
        if changed or self._verdicts or stamped:
            self._store.stage(transaction, Changes(changed, self._verdicts, stamped, self._at))

    def committed(self) -> None:
        """See `Batch.committed`."""
        for key, row in self._rows.items():
            order, cache = row.view.order, self._caches[key]
            if order is None or order.ended or not row.whole or len(row.view.verdicts) > MOST_VERDICTS:
                cache.pop(key, None)
            else:
                cache[key] = row
                cache.move_to_end(key)
                if len(cache) > CACHED_ORDERS:
                    cache.popitem(last=False)


def _asked(message: Message, verdict: Verdict) -> CommandData | None:
    """What the command asked for, where it is the command itself that is decided. One that cannot be read asks for nothing."""
    command, data = verdict.command, message.data
    own = (command.source, command.id) == (message.source, message.id)
    return data if own and isinstance(data, CommandData) else None
