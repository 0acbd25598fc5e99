"""What can be wrong with a service, one rule per trouble: each looks at one spot and says what it sees, or nothing.

The table's order is the order of cause and effect: a broker that is away explains a service without partitions, a missing topic
explains a process that ends at once, a failing database explains records that wait. The first rule that sees something names
the cause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orderctl.doctor.chain import Finding
from orderctl.doctor.rules import broker, database, process, work
from orderctl.doctor.spot import Spot

Rule = Callable[[Spot], Finding | None]

RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("broker-away", broker.broker_away),
    ("topic-missing", broker.topic_missing),
    ("partition-counts", broker.partition_counts),
    ("service-down", process.service_down),
    ("service-hangs", process.service_hangs),
    ("service-unknown", process.no_progress_told),
    ("no-database", process.no_database_at_start),
    ("other-broker", process.other_broker),
    ("no-partition", process.no_partition),
    ("broker-trouble", database.broker_trouble),
    ("database-away", database.database_away),
    ("database-locked", database.database_locked),
    ("poisoned-head", database.poisoned_head),
    ("not-taken-over", process.not_taken_over),
    ("timers-stand", work.timers_stand),
    ("outbox-stuck", work.outbox_stuck),
    ("parked", work.parked),
    ("dead-letter", work.dead_letter),
    ("behind", work.behind),
)


def cause_at(spot: Spot) -> tuple[str, Finding] | None:
    """The first rule of the table that sees something, with its name."""
    for name, rule in RULES:
        seen = rule(spot)
        if seen is not None:
            return name, seen
    return None
