"""A PostgreSQL that runs already, for whoever runs the same tests again and again."""

from __future__ import annotations

import os
from typing import Final

#: A superuser's way into its maintenance database. Tests that crash what they use never use it.
VARIABLE: Final = "TEST_POSTGRES_URL"


def given_postgres() -> str | None:
    """Where it is, if there is one."""
    return os.environ.get(VARIABLE)
