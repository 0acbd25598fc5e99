"""The learner as a Faust app: two steps and a table.

    orders.events.v1 --(1 take apart)--> recommendation.baskets.v1 --(2 learn)--> recommendation.baskets-changelog.v1
                                                                        |
                                                                        +--> recommendation.pairs.v1

A record is settled when everything that follows from it stands on the broker. What a step wrote before it died it writes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic, time_ns
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.types import EventT

from contracts.envelope import TYPE_HEADER, Unreadable, decode_event, header
from contracts.letters import without_facts
from contracts.orders import OrderCompleted
from contracts.registry import TYPE_OF
from contracts.topics import (
    ORDERS_EVENTS,
    RECOMMENDATION_BASKETS,
    RECOMMENDATION_CHANGELOG,
    RECOMMENDATION_LEARNER,
    RECOMMENDATION_PAIRS,
    dead_letter_topic,
)
from messaging.logs import get_logger
from messaging.partitioner import partition_of
from messaging.settings import Settings
from messaging.tracing import Tracer
from services.recommendation import pairs
from services.recommendation.learner.careful import CarefulConsumer, CarefulTransport
from services.recommendation.learner.domain import Counts, basket_of, baskets_of, decode, encode, row_of
from services.recommendation.learner.faust_settings import faust_options
from services.recommendation.learner.meters import LearnerMeters
from services.recommendation.learner.progress import NoProgressError, Progress
from services.recommendation.learner.traced import message_of

log = get_logger(__name__)

COMPLETED: Final = TYPE_OF[OrderCompleted][1]
#: One topic for all that the learner cannot read; `dlq-topic` says where a letter comes from.
DEAD_LETTERS: Final = dead_letter_topic(ORDERS_EVENTS, RECOMMENDATION_LEARNER)
#: What changed is told together after so long: a popular SKU is told twice a second, not with every order.
TELL_EVERY_S: Final = 0.5
#: Records whose consequences are on their way to the broker, at most.
MOST_UNDER_WAY: Final = 100
LOOK_EVERY_S: Final = 1.0
UNREADY_MOST_S: Final = 60.0
TELL_AT_ONCE: Final = 1_000

Handle = Callable[[EventT[bytes]], Awaitable[None]]


class _App(faust.App):
    """Without a folder of its own: the table is in memory and on its changelog, nothing is kept on the disk."""

    def _create_directories(self) -> None:
        """There are none."""


class Learner:
    """The app and what it knows. `failed` is set with the error that the process has to end for."""

    def __init__(self, settings: Settings, meters: LearnerMeters, tracer: Tracer | None = None) -> None:
        self._partitions = settings.partitions
        self._meters = meters
        self._tracer = tracer
        self._session_s = settings.session_timeout_ms / 1000
        self._progress = Progress()
        self._counts = Counts()
        self._untold: set[str] = set()
        self._window = asyncio.Semaphore(MOST_UNDER_WAY)
        self._under_way: set[asyncio.Task[None]] = set()
        self._read_back = False
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.app = _App(settings.group_id, **faust_options(settings))
        self.app.transport = CarefulTransport(self.app.conf.broker_consumer, self.app)
        self.app.producer_transport = CarefulTransport(self.app.conf.broker_producer, self.app)
        consumer = self.app.consumer
        assert isinstance(consumer, CarefulConsumer)
        consumer.progress, consumer.concerns, consumer.passed_over = self._progress, _concerns, meters.passed_over
        self._consumer = consumer
        self._table = self.app.Table(
            "baskets",
            key_type=bytes,
            value_type=bytes,
            partitions=self._partitions,
            changelog_topic=self._topic(RECOMMENDATION_CHANGELOG, acks=False, internal=True, compacting=True),
            on_recover=self._recovered,
        )
        self._agent("orders", ORDERS_EVENTS, self._take_apart)
        self._agent("baskets", RECOMMENDATION_BASKETS, self._learn)

    @property
    def ready(self) -> bool:
        """Everything is read back, and the partitions that are ours are being read."""
        app: Any = self.app
        return self._read_back and not (app.rebalancing or app.in_recovery or app.should_stop or self.failed.done())

    def _topic(self, name: str, **options: Any) -> Any:
        """Raw bytes: what they mean is looked at here, where what cannot be read can be set aside."""
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        return self.app.topic(name, partitions=self._partitions, allow_empty=True, **raw, **options)

    def _agent(self, name: str, topic: str, handle: Handle) -> None:
        async def work(stream: Any) -> None:
            async for event in stream.events():
                await self._take(event, handle)

        # Never above one: the records of a partition are to be taken in their order. What overlaps is the waiting for the broker.
        self.app.agent(self._topic(topic), name=name, concurrency=1)(work)

    async def _take(self, event: EventT[bytes], handle: Handle) -> None:
        """Begin to handle a record, if it is the next of its partition. Faust believes it done then; `Progress` knows better."""
        message: Any = event.message
        if self._progress.take((message.topic, message.partition), message.offset):
            await self._window.acquire()
            under_way = asyncio.create_task(self._settle(event, handle))
            self._under_way.add(under_way)
            under_way.add_done_callback(self._under_way.discard)

    async def _settle(self, event: EventT[bytes], handle: Handle) -> None:
        """Handle one record. Whatever it throws ends the process, and neither this record nor any after it is ever settled."""
        message: Any = event.message
        try:
            await handle(event)
        except Exception as error:  # noqa: BLE001 - the boundary: told to the process, which ends
            if not self.failed.done():
                self.failed.set_result(error)
            return
        finally:
            self._window.release()
        # A record of an earlier assignment may be somebody else's by now.
        if message.generation_id == self.app.consumer_generation_id:
            self._progress.done((message.topic, message.partition), message.offset)

    async def watch(self) -> None:
        """See now and then that what waits on the broker comes, for ever. An error ends the process."""
        looked_at = ready_at = monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            before, looked_at = looked_at, monotonic()
            if looked_at - before > self._session_s:
                raise NoProgressError("this process was frozen for longer than its membership lasts")
            if self.ready or self.app.in_recovery:
                ready_at = looked_at
            elif looked_at - ready_at > UNREADY_MOST_S:
                raise NoProgressError(f"not ready for {UNREADY_MOST_S:.0f} s, and nothing is being read back")
            if self.ready:
                await self._fetch_again()

    async def _fetch_again(self) -> None:
        try:
            again = await self._consumer.fetch_again()
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("broker-does-not-answer", error=error)
            return
        if again:
            log.info("fetching-again", partitions=[f"{tp.topic}/{tp.partition}" for tp in again])
            self._meters.fetched_again(len(again))

    # --- step 1 -------------------------------------------------------------------------------------------------------

    async def _take_apart(self, event: EventT[bytes]) -> None:
        """An order that completed becomes a basket for each of its SKUs."""
        message: Any = event.message
        began_ns = 0 if self._tracer is None else time_ns()
        try:
            envelope = decode_event(COMPLETED, message.value)
        except Unreadable as unreadable:
            await self._set_aside(message, unreadable.reason, str(unreadable))
            return
        assert isinstance(envelope.data, OrderCompleted)
        baskets = baskets_of(envelope.subject, (item.sku for item in envelope.data.items))
        await asyncio.gather(
            *[await self._append(RECOMMENDATION_BASKETS, basket.sku.encode(), encode(basket)) for basket in baskets]
        )
        self._meters.settled(ORDERS_EVENTS, "learnt")
        if self._tracer is not None:
            self._tracer.handled(message_of(message, envelope), began_ns)

    # --- step 2 -------------------------------------------------------------------------------------------------------

    async def _learn(self, event: EventT[bytes]) -> None:
        """A basket that is not in the table yet goes onto the changelog, and when it stands there, into the table."""
        message: Any = event.message
        basket = decode(message.key, message.value)
        if basket is None:
            await self._set_aside(message, "invalid-basket", "The record is no basket.")
            return
        rows = self._table.data
        key, value = row_of(basket)
        if key not in rows:
            # Not `table[key] = value`: that sends soon, and nobody is told whether it arrived.
            await (await self._append(RECOMMENDATION_CHANGELOG, key, value, message.partition))
        if key in rows:  # looked up again: a rebalance may have read it back meanwhile
            self._meters.settled(RECOMMENDATION_BASKETS, "known")
            return
        rows[key] = value
        self._counts.add(basket)
        self._untold.add(basket.sku)
        self._meters.settled(RECOMMENDATION_BASKETS, "learnt")

    async def _recovered(self) -> None:
        """The table was read back. Everything is counted anew and told again: a process that was frozen while others learnt
        may have told something old last, and its return is what causes a rebalance. What others wrote onto the changelog, and is
        no row, stays there and counts nothing: whoever ends for it ends again at every start."""
        rows = self._table.data
        baskets = [basket_of(key, value) for key, value in rows.items()]
        self._counts = Counts(basket for basket in baskets if basket is not None)
        if unreadable := baskets.count(None):
            log.warning("rows-unreadable", topic=RECOMMENDATION_CHANGELOG, count=unreadable)
        self._meters.state("unreadable", unreadable)
        self._untold = set(self._counts.skus)
        self._read_back = True
        self._meters.recovered()
        log.info("table-read-back", count=len(rows))

    # --- telling ------------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell what changed, now and then, for ever. An error ends the process."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if self.ready:
                await self._tell_changes()

    async def _tell_changes(self) -> None:
        owned = {tp.partition for tp in self.app.consumer.assignment() if tp.topic == RECOMMENDATION_BASKETS}
        changed, self._untold = sorted(self._untold), set()
        for start in range(0, len(changed), TELL_AT_ONCE):
            mine = [sku for sku in changed[start : start + TELL_AT_ONCE] if self._partition_of(sku.encode()) in owned]
            told = [self._counts.best(sku) for sku in mine]
            await asyncio.gather(
                *[
                    await self._append(RECOMMENDATION_PAIRS, one.sku.encode(), one.encode(), headers=pairs.headers())
                    for one in told
                ]
            )
            self._meters.told(len(told))
        self._meters.state("untold", len(self._untold))
        self._meters.state("baskets", len(self._table.data))
        self._meters.state("skus", len(self._counts.skus))

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _set_aside(self, message: Any, reason: str, error: str) -> None:
        facts = {
            "dlq-reason": reason,
            "dlq-error": error[:1000],
            "dlq-topic": message.topic,
            "dlq-partition": str(message.partition),
            "dlq-offset": str(message.offset),
            "dlq-time": datetime.now(UTC).isoformat(),
        }
        headers = [*without_facts(message.headers or ()), *((name, text.encode()) for name, text in facts.items())]
        # The client refuses a record with neither key nor value, which others may well write.
        value = b"" if message.key is None and message.value is None else message.value
        await (await self._append(DEAD_LETTERS, message.key, value, message.partition, headers))
        self._meters.dead_lettered(message.topic, reason)
        log.warning(
            "dead-letter", reason=reason, topic=message.topic, partition=message.partition, offset=message.offset
        )

    async def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Awaitable[Any]:
        """Hand a record to the producer. What is returned is done when the broker has it."""
        target = self._partition_of(key or b"") if partition is None else partition
        return await self.app.producer.send(topic, key, value, target, None, list(headers))

    def _partition_of(self, key: bytes) -> int:
        return partition_of(key.decode(), self._partitions)


def _concerns(topic: str, record: Any) -> bool:
    """Of the orders' events only those of orders that completed; all else is passed over by its header, unparsed."""
    return topic != ORDERS_EVENTS or header(record.headers, TYPE_HEADER) == COMPLETED


def topics_of_learner() -> Sequence[str]:
    """Every topic that has to be there, with the same number of partitions, before the learner starts."""
    return (ORDERS_EVENTS, RECOMMENDATION_BASKETS, RECOMMENDATION_CHANGELOG, RECOMMENDATION_PAIRS, DEAD_LETTERS)
