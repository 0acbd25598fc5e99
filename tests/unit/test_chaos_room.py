"""The broker's own listeners are begun before the services, whose ports they must leave alone."""

from __future__ import annotations

import pytest

from chaos import room
from chaos.errors import ChaosError
from contracts.ports import HTTP_PORTS
from devstack.ports import ports_at

OFFSET = 17_000


def test_the_ports_of_a_stack_are_those_of_its_processes_moved() -> None:
    assert {port + OFFSET for port in HTTP_PORTS.values()} < ports_at(OFFSET)


def test_a_listener_gets_no_port_that_the_stack_needs_later(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ports_at(OFFSET)
    monkeypatch.setattr(room, "_PORTS", range(min(needed), max(needed) + 1))
    free = len(room._PORTS) - len(needed)
    assert not needed & set(room._free_ports(free // 2, needed))
    with pytest.raises(ChaosError):
        room._free_ports(free + 1, needed)
