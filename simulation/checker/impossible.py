"""Which cells nobody can reach, and why. A search that reaches one of them all the same fails: the reason was wrong."""

from __future__ import annotations

from typing import Final

#: Messages, states, and why none of these messages is read in any of these states.
Reasons = tuple[tuple[frozenset[str], frozenset[str], str], ...]

IN_ORDERS: Final[Reasons] = ()
IN_INVENTORY: Final[Reasons] = ()
IN_PAYMENT: Final[Reasons] = ()
