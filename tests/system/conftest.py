"""Every conversation is held three times: with everything in turn, and twice in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import promises
import pytest
from conversation import Shop

from simulation import System


@pytest.fixture(params=[None, 1, 2], ids=["in-turn", "seed-1", "seed-2"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An open shop. When the test is over, what is down comes up, everything ends, and the promises must hold."""
    shop = Shop(System(seed=request.param)).open()
    yield shop
    for service in shop.system.parts.of:
        shop.system.up(service)
    shop.system.mailbox.away = shop.system.gateway.away = False
    shop.system.finish()
    promises.check(shop.system)
