"""A partition that stands still: its database is away or locked, or the record at its head fails again and again."""

from __future__ import annotations

from typing import Final

from orderctl.doctor.chain import Advice, Finding, Link, quoting, span
from orderctl.doctor.rules.saying import found, stack, stands_still
from orderctl.doctor.spot import Spot

#: Words of errors that tell of a database that cannot be reached, or not by this name and role.
AWAY: Final = (
    "ConnectionRefused",
    "ConnectionDoesNotExist",
    "ConnectionFailure",
    "ConnectionReset",
    "CannotConnectNow",
    "Connect call failed",
    "connection was closed",
    "connection is closed",
    "No such file",
    "FileNotFound",
    "TooManyConnections",
    "InvalidPassword",
    "InvalidCatalogName",
    "InvalidAuthorization",
    "AdminShutdown",
    "CrashShutdown",
    "gaierror",
)
#: Words of errors that tell of a database that is there and does not come to an end.
LOCKED: Final = ("no answer in time", "LockNotAvailable", "QueryCanceled", "TimeoutError")
WHO_HOLDS_THE_LOCK: Final = (
    "select pid, state, now() - xact_start as since, query from pg_stat_activity "
    "where pid in (select unnest(pg_blocking_pids(pid)) from pg_stat_activity)"
)


def broker_trouble(spot: Spot) -> Finding | None:
    """The broker answers us, and the service's questions to it fail."""
    failed = spot.standing_error
    if failed is None or "Kafka" not in failed.text:
        return None
    link = quoting(f"{spot.service} has trouble with the broker", failed.text, {"at": failed.at})
    advice = Advice(f"If it lasts longer than a minute, restart {spot.service}.", stack(spot.service, "restart"))
    return found(*stands_still(spot), link, advice=(advice,))


def database_away(spot: Spot) -> Finding | None:
    """The service's database cannot be reached."""
    failed = spot.standing_error
    if failed is None or not any(word in failed.text for word in AWAY):
        return None
    link = quoting(f"{spot.service} cannot reach its database", failed.text, {"at": failed.at})
    advice = Advice(f"Start the database of {spot.service}; it goes on by itself then.", "make status")
    return found(*stands_still(spot), link, advice=(advice,))


def database_locked(spot: Spot) -> Finding | None:
    """The database is there, and a statement of the service does not come to its end."""
    failed, busy_for = spot.standing_error, spot.busy_for
    timed_out = failed is not None and any(word in failed.text for word in LOCKED)
    if failed is not None and not timed_out:
        return None
    if busy_for is None and not timed_out:
        return None
    links = list(stands_still(spot))
    if busy_for is not None:
        links.append(Link(f"the turn at hand has been waiting for its database for {span(busy_for)}"))
    if failed is not None:
        links.append(quoting("its last failure", failed.text, {"at": failed.at}))
    name = f'"${spot.service.upper()}_DATABASE_URL"'
    advice = (
        Advice(
            "See who holds the lock, and end that session with pg_terminate_backend(pid) if nobody will.",
            f"psql {name} -c '{WHO_HOLDS_THE_LOCK}'",
        ),
        Advice(f"{spot.service} goes on by itself when the lock is gone."),
    )
    return found(*links, advice=advice)


def poisoned_head(spot: Spot) -> Finding | None:
    """The record at the head fails again and again, and is tried again and again: its error is not one that sets it aside."""
    failed = spot.standing_error
    if failed is None:
        return None
    others = [p for process in spot.facts.answering for p in process.partitions if p.partition != spot.partition]
    alone = others and all(not p.failing and (p.last_error is None or p.last_error.at != failed.at) for p in others)
    last = quoting("its last failure", failed.text, {"at": failed.at, "other_partitions_fine": bool(alone)})
    advice = (
        Advice(
            f"Mend what the failure names; the record is tried again by itself every few seconds. The log of {spot.service} has "
            "the whole error.",
            stack(spot.service),
        ),
    )
    return found(*stands_still(spot), last, advice=advice)
