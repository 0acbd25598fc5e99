"""One audit: wait until all is at rest, look, judge."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from audit.facts import CommonFacts, MoneyFacts
from audit.kafka import TopicLog, open_broker
from audit.load import load_common, load_orders
from audit.partitions import ParkedKey
from audit.postgres import DATABASES
from audit.record import SenderRecord, read_record
from audit.rules import Breach, Tally, Terms, check_common, check_order
from audit.settle import Cut, settled
from messaging.secure import load_kafka_security
from messaging.settings import BOOTSTRAP_SERVERS
from messaging.spread import DatabaseUrls


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the system is. The databases by their service's name, and the gateway's."""

    bootstrap_servers: str
    databases: Mapping[str, Sequence[str]]


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """From `KAFKA_BOOTSTRAP_SERVERS` and `<SERVICE>_DATABASE_URL`, with the services' own defaults. Raises `SettingsError`."""
    load_kafka_security(env)
    databases = {name: DatabaseUrls(name).read(env) for name in DATABASES}
    return Settings(BOOTSTRAP_SERVERS.read(env), databases)


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. `applied`: how often each rule was applied; `not_judged`: orders that were in motion, for which only
    what one database tells could be judged; `restless`: why the system was not at rest; `parked`: keys whose messages wait, and
    where."""

    breaches: Sequence[Breach]
    applied: Mapping[str, int]
    statuses: Mapping[str, int]
    orders: int
    not_judged: int
    restless: Sequence[str]
    open_payments: int
    parked: Sequence[tuple[str, ParkedKey]]
    money: Sequence[MoneyFacts] | None
    skus: int
    pieces: Mapping[str, int]
    published: int
    sent: int
    as_of: datetime
    waited_s: float
    elapsed_s: float

    @property
    def exit_code(self) -> int:
        """0: nothing found; 1: promises are broken."""
        return 1 if self.breaches else 0


async def audit(settings: Settings, terms: Terms, settle_timeout_s: float, records: Sequence[Path] = ()) -> Report:
    """Look at everything and judge it. Raises `CouldNotLookError`."""
    started = time.monotonic()
    record = read_record(records)
    async with (
        open_broker(settings.bootstrap_servers) as broker,
        settled(settings.databases, broker, settle_timeout_s) as cut,
    ):
        # After the databases were fixed: whatever they say is published has to be there.
        log = await broker.read_events(cut.ends)
        common = await load_common(cut, log, record)
        tally = Tally()
        breaches = check_common(common, terms, tally)
        judged = _Judged()
        async for order in load_orders(cut, log, record):
            breaches += check_order(order, terms, tally)
            judged.statuses[order.row.status if order.row is not None else "(no order)"] += 1
            judged.in_motion += not order.at_rest
    return _report(cut, log, common, record, breaches, tally, judged, time.monotonic() - started)


class _Judged:
    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.in_motion = 0


def _report(
    cut: Cut,
    log: TopicLog,
    common: CommonFacts,
    record: SenderRecord,
    breaches: Sequence[Breach],
    tally: Tally,
    judged: _Judged,
    elapsed_s: float,
) -> Report:
    pieces: Counter[str] = Counter()
    for stock in common.stock:
        if stock.row is not None:
            for name in ("received", "adjusted", "on_hand", "held", "shipped"):
                pieces[name] += getattr(stock.row, name)
    return Report(
        breaches=breaches,
        applied=tally.applied,
        statuses=dict(sorted(judged.statuses.items())),
        orders=sum(count for status, count in judged.statuses.items() if status != "(no order)"),
        not_judged=judged.in_motion,
        restless=cut.restless,
        open_payments=cut.open_payments,
        parked=[(facts.service, lane) for facts in cut.partitions for lane in facts.parked],
        money=common.money,
        skus=len(common.stock),
        pieces=dict(pieces),
        published=log.records,
        sent=record.commands + len(record.elsewhere),
        as_of=cut.databases["orders"].as_of,
        waited_s=cut.waited_s,
        elapsed_s=elapsed_s,
    )
