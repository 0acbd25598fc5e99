"""Why there is no figure."""

from __future__ import annotations


class NotMeasuredError(Exception):
    """What would have been measured is worth nothing: orders are missing, books are wrong, durability was given away."""
