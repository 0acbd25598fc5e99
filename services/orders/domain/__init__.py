"""The order workflow as pure functions: `decide` and the data it works on. No clock, no random, no IO."""

from services.orders.domain.decide import decide
from services.orders.domain.state import Order, Verdict, View

__all__ = ["Order", "Verdict", "View", "decide"]
