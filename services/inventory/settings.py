"""Inventory's own settings."""

from __future__ import annotations

from typing import Final

from contracts import values
from messaging.setting import Pattern, Setting

DEFAULT_CURRENCY: Final = Pattern(
    "DEFAULT_CURRENCY",
    values.DEFAULT_CURRENCY,
    "[A-Z]{3}",
    "an ISO 4217 code such as GBP",
    "of a new SKU whose receipt names none",
)
SETTINGS: Final[tuple[Setting, ...]] = (DEFAULT_CURRENCY,)
