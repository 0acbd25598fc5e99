"""The plan of a kill run follows from its seed, and leaves nobody out."""

from __future__ import annotations

from collections import Counter

from chaos.plan import BACKENDS, LINKS, NEEDED, PROCESSES, SERVICES, TARGETS, Kind, kill_run, one_by_one
from contracts.topics import SUBSCRIPTIONS
from devstack.settings import DATABASES


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert kill_run("7-1", 20, 120) == kill_run("7-1", 20, 120)
    assert kill_run("7-1", 20, 120) != kill_run("7-2", 20, 120)
    assert one_by_one("7", list(Kind), 5) == one_by_one("7", list(Kind), 5)


def test_a_kill_run_has_the_kills_that_were_asked_for_within_its_time_and_as_many_other_faults() -> None:
    faults = kill_run("1", 20, 120)
    assert Counter(fault.kind is Kind.KILL for fault in faults) == {True: 20, False: 20}
    assert all(0 <= fault.at_s <= 120 for fault in faults)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)


def test_twenty_kills_meet_every_process_twice_and_the_other_faults_are_of_every_kind() -> None:
    faults = kill_run("1", 20, 120)
    assert Counter(fault.target for fault in faults if fault.kind is Kind.KILL) == dict.fromkeys(PROCESSES, 2)
    assert {fault.kind for fault in faults} == set(Kind)


def test_every_way_is_a_services_own_and_every_service_has_one_to_each_of_its_backends() -> None:
    ways = {(link.process, link.backend) for link in LINKS}
    assert {(service.name, database) for service in SERVICES for database in service.databases} <= ways
    assert {(name, "kafka") for name in SUBSCRIPTIONS} <= ways
    assert {backend for _, backend in ways} <= {"kafka", *DATABASES}
    assert all(set(targets) <= {link.name for link in LINKS} for kind, targets in TARGETS.items() if ">" in targets[0])


def test_one_at_a_time_a_kill_meets_services_and_each_backend_equally_often() -> None:
    faults = one_by_one("1", [Kind.KILL, Kind.CUT], 30)
    killed = Counter(fault.target for fault in faults if fault.kind is Kind.KILL)
    assert [killed[name] for name in BACKENDS] == [30, 30]
    assert sum(killed[name] for name in NEEDED) == 30
    assert sum(fault.kind is Kind.CUT for fault in faults) == 30
