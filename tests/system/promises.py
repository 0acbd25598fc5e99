"""See `conversation`: for tests that are under way."""

from simulation import System
from simulation.kit import check_promises as check

__all__ = ["check", "dead_letters"]


def dead_letters(system: System) -> list[tuple[str, str]]:
    return system.dead_letters()
