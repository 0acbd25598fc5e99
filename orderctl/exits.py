"""What the exit codes mean. They are part of the public interface: scripts branch on them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

#: What every verb's help ends with; which of them a verb uses stands in docs/orderctl.md.
IN_WORDS: Final = (
    "Exit codes: 0 done, 1 error, 2 usage, 3 cancelled, 4 failed, 5 rejected, 6 not in time, 7 not found, 8 something does not "
    "move, 130 interrupted."
)


class Exit(IntEnum):
    """Why the client ended."""

    OK = 0  # done; a followed order completed
    ERROR = 1  # the broker or an API cannot be reached, or something unforeseen
    USAGE = 2  # the arguments or the environment are wrong; nothing was sent
    CANCELLED = 3  # the followed order was cancelled
    FAILED = 4  # the followed order failed
    REJECTED = 5  # the command got its verdict: rejected
    TIMEOUT = 6  # the verdict or the end did not come in time; the command may still take effect
    NOT_FOUND = 7  # there is no such order or SKU
    STUCK = 8  # something does not move as it should: an order, or a service
    INTERRUPTED = 130  # Ctrl-C
