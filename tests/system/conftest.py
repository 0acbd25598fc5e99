"""Every conversation is held with both versions of the workflow, with everything in turn and in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulation import System
from simulation.kit import Shop

HELD = [(2, None), (2, 1), (2, 2), (1, None), (1, 1)]


@pytest.fixture(
    params=HELD, ids=[f"v{version}-{'in-turn' if seed is None else f'seed-{seed}'}" for version, seed in HELD]
)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An open shop. When the test is over, what is down comes up, everything ends, and the promises must hold."""
    version, seed = request.param
    with Shop(System(seed=seed), version=version) as shop:
        yield shop
