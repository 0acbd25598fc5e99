"""Every conversation is held with both versions of the workflow, with everything in turn and in an order that a seed decides; with
LONG_TESTS=1 in many orders."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from simulation import System
from simulation.kit import Shop

HELD = [(2, None), (2, 1), (1, None)]
if os.environ.get("LONG_TESTS"):
    HELD += [(2, 2), (1, 1), *((version, seed) for seed in range(3, 8) for version in (1, 2))]


@pytest.fixture(
    params=HELD, ids=[f"v{version}-{'in-turn' if seed is None else f'seed-{seed}'}" for version, seed in HELD]
)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An open shop. When the test is over, what is down comes up, everything ends, and the promises must hold."""
    version, seed = request.param
    with Shop(System(seed=seed), version=version) as shop:
        yield shop
