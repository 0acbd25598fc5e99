"""How a run can end without a result."""

from __future__ import annotations

from enum import IntEnum


class ChaosError(Exception):
    """The run cannot go on."""


class DidNotHappenError(ChaosError):
    """A planned fault met nobody: the run proves nothing."""


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    VIOLATED = 1
    COULD_NOT_RUN = 2
    INVALID = 3
