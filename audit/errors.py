"""What keeps the audit from looking. Each message says what to do."""

from __future__ import annotations


class CouldNotLookError(Exception):
    """A database or the broker did not answer, or a record cannot be read: nothing is proved, neither way."""
