"""What can go wrong with it."""

from __future__ import annotations


class ProvisionError(Exception):
    """Broker or database run, but cannot be given what the services need. The message says what to do."""
