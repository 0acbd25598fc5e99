"""Faust's Kafka driver, with what is changed in it that would lose records (docs/adr/0009).

Faust commits from its own book of acknowledged offsets. It acknowledges a record whose handler raised or was cancelled, and those
that it throws away in a rebalance. And when it has read its tables back it first seeks to where the streams are to go on, and then
empties their queues, with what was fetched between the two. Here offsets are committed from `Progress` alone, which knows what was
settled, and what was lost on the way is fetched again. The producer writes each record once and in order, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

import aiokafka
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT
from faust.types.tuples import Message
from mode.utils.futures import notify

from messaging.clients import producer_options
from services.recommendation.learner.progress import Progress

#: Faust names these itself, from its settings; the rest of the safe settings is added.
_FAUSTS_OWN: Final = frozenset(
    {"bootstrap_servers", "client_id", "request_timeout_ms", "metadata_max_age_ms", "security_protocol", "ssl_context"}
    | {"sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}
)
#: Records that wait are sent as one batch, and the broker refuses a batch above 1 MiB as it does a record.
BATCH_BYTES: Final = 256 * 1024
#: The broker answers a fetch when so much is there, or after so long.
GATHER_BYTES: Final = 64 * 1024
GATHER_MS: Final = 500


class PatientThread(driver.AIOKafkaConsumerThread):
    """Lets the broker gather records for a moment. Every step of every order stands on the topic that is followed, and each
    fetch costs Faust's threads and the broker more than the records in it."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these; the client reads them when it starts.
        consumer._fetch_min_bytes = GATHER_BYTES
        consumer._fetch_max_wait_ms = GATHER_MS
        return consumer


class CarefulConsumer(driver.Consumer):
    """Commits what `Progress` says is settled, and nothing else. What `concerns` (topic, record) says is of no concern never gets
    into Faust: each record that does costs it a third of a millisecond, before anybody has looked at it. How many those were,
    `passed_over` is told."""

    progress: Progress
    concerns: Callable[[str, Any], bool]
    passed_over: Callable[[str, int], None]

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return PatientThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """See the driver."""
        found, active = await super()._wait_next_records(timeout)
        if found is None:
            return None, active
        kept = {tp: self._of_concern(tp, records) for tp, records in found.items()}
        return {tp: records for tp, records in kept.items() if records}, active

    def _of_concern(self, tp: TP, records: list[Any]) -> list[Any]:
        kept = [record for record in records if self.concerns(tp.topic, record)]
        if len(kept) < len(records):
            known = {record.offset for record in kept}
            passed = [record.offset for record in records if record.offset not in known]
            self.progress.pass_over((tp.topic, tp.partition), passed)
            self.passed_over(tp.topic, len(passed))
        return kept

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """See the driver. Where nothing was committed, reading begins with what there is."""
        committed = await super().seek_to_committed()
        assigned = self.assignment()
        starts = dict(await self.earliest_offsets(*assigned)) if assigned else {}
        for tp, offset in committed.items():
            starts[tp] = max(offset or 0, starts.get(tp, 0))
        streams = self.app.topics.acking_topics
        self.progress.begin({(tp.topic, tp.partition): offset for tp, offset in starts.items() if tp.topic in streams})
        return committed

    async def fetch_again(self) -> list[TP]:
        """Look whether records wait that ought to have come, and read from there again. Returns where."""
        known = [TP(*partition) for partition in self.progress.committable()]
        ends = await self.highwaters(*known) if known else {}
        stuck = self.progress.stuck({(tp.topic, tp.partition): end for tp, end in ends.items()})
        if stuck:
            await self.seek_wait({TP(*partition): offset for partition, offset in stuck.items()})
        return [TP(*partition) for partition in stuck]

    def ack(self, message: Message) -> bool:
        """Faust is done with the record, whatever became of it. This only ends the waiting for it in a rebalance."""
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust keeps a tree of what it did not see, for its own book; `Progress` knows, and the tree would grow for ever."""

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        found = {TP(*partition): offset for partition, offset in self.progress.committable().items()}
        return {tp: offset for tp, offset in found.items() if self._committed_offset.get(tp) != offset}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """See the driver. What was settled is committed by it first, as far as that goes."""
        await super().on_partitions_revoked(revoked)
        self.progress.forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """See the driver."""
        self.progress.forget()
        await super().on_partitions_assigned(assigned, generation_id)


class CarefulProducer(driver.Producer):
    """Waits for all replicas in sync, and repeats nothing that arrived."""

    def _settings_extra(self) -> Mapping[str, Any]:
        options = producer_options("", "")
        safe = {name: value for name, value in options.items() if name not in _FAUSTS_OWN}
        return {**safe, "max_batch_size": BATCH_BYTES}


class CarefulTransport(driver.Transport):
    """The driver with both."""

    Consumer: ClassVar[type[ConsumerT]] = CarefulConsumer
    Producer: ClassVar[type[ProducerT]] = CarefulProducer
