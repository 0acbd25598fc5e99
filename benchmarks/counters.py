"""Counted work: what was written, read off the accounts of database, broker and services. It does not wander as times do."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
#: A record batch as the broker stores it: base offset, length of the rest; the number of records is 57 bytes from its beginning.
_HEAD: Final = struct.Struct(">qi")
_COUNT_AT: Final = 57
_HEAD_AND_COUNT: Final = _COUNT_AT + 4
_SEGMENTS: Final = "*.v1*/*.log"
_BATCH_SIZE: Final = "messaging_batch_size"


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since each account was opened. `batches`: by service, (transactions, items in them). `broker_calls`: the broker's
    reads and writes, of sockets and files: every request is read and answered, so that they rise with the requests."""

    wal_bytes: int
    write_transactions: int
    records: int
    record_batches: int
    log_bytes: int
    batches: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    broker_calls: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What an order cost, counted. `batch_size`: items per transaction, by service."""

    wal_bytes: float
    write_transactions: float
    messages: float
    record_batches: float
    log_bytes: float
    broker_calls: float
    batch_size: Mapping[str, float]

    @property
    def messages_per_batch(self) -> float:
        """How many messages share one record batch on the broker."""
        return self.messages / self.record_batches if self.record_batches else 0.0


async def read_counters(superuser_dsn: str, kafka_pid: int, kafka_data: Path, urls: Mapping[str, str]) -> Counters:
    """The accounts as they stand now; everything should be at rest."""
    connection = await asyncpg.connect(superuser_dsn, timeout=10)
    try:
        # Exact at once, unlike pg_stat_wal and pg_stat_database, to which a backend reports when it finds the time.
        wal = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        transactions = await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    finally:
        await connection.close()
    records, batches, size = _stored(kafka_data)
    sizes = {name: _batch_sizes(url) for name, url in urls.items()}
    return Counters(wal, transactions, records, batches, size, sizes, _calls_of(kafka_pid))


def _calls_of(pid: int) -> int:
    """Reads and writes of a process since it began; 0 where the system does not tell."""
    account = Path(f"/proc/{pid}/io")
    lines = account.read_text().splitlines() if account.exists() else []
    told = dict(line.split(": ") for line in lines)
    return int(told.get("syscr", 0)) + int(told.get("syscw", 0))


def bytes_on_topics(kafka_data: Path) -> int:
    """What stands on all topics of the contracts now."""
    return sum(path.stat().st_size for path in kafka_data.glob(_SEGMENTS))


def _stored(kafka_data: Path) -> tuple[int, int, int]:
    """Records, record batches and bytes on all topics of the contracts."""
    found = [batch for path in kafka_data.glob(_SEGMENTS) for batch in stored_batches(path)]
    return sum(count for count, _ in found), len(found), sum(length for _, length in found)


def stored_batches(path: Path) -> Iterator[tuple[int, int]]:
    """Number of records and bytes of each record batch in a segment of the broker's log."""
    with path.open("rb") as file:
        at = 0
        while len(head := file.read(_HEAD_AND_COUNT)) == _HEAD_AND_COUNT:
            length = _HEAD.size + _HEAD.unpack_from(head)[1]
            if length <= _HEAD.size:  # the rest of a segment that was made in advance
                return
            yield int.from_bytes(head[_COUNT_AT:], "big"), length
            at += length
            file.seek(at)


def _batch_sizes(url: str) -> tuple[float, float]:
    with _DIRECT.open(f"{url}/metrics", timeout=5) as response:
        text = response.read().decode()
    samples = [
        s for family in text_string_to_metric_families(text) if family.name == _BATCH_SIZE for s in family.samples
    ]
    count, items = (sum(s.value for s in samples if s.name == f"{_BATCH_SIZE}_{end}") for end in ("count", "sum"))
    return count, items


def work_between(before: Counters, after: Counters, orders: int) -> Work:
    """What was counted between two looks, per order."""
    sizes = {}
    for name, (count, items) in after.batches.items():
        old_count, old_items = before.batches.get(name, (0.0, 0.0))
        if old_count > count:  # it was started anew in between
            old_count, old_items = 0.0, 0.0
        if count > old_count:
            sizes[name] = (items - old_items) / (count - old_count)
    return Work(
        (after.wal_bytes - before.wal_bytes) / orders,
        (after.write_transactions - before.write_transactions) / orders,
        (after.records - before.records) / orders,
        (after.record_batches - before.record_batches) / orders,
        (after.log_bytes - before.log_bytes) / orders,
        (after.broker_calls - before.broker_calls) / orders,
        sizes,
    )
