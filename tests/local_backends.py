"""Kafka and PostgreSQL as local processes, by devstack."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backends import Backends, Name
from shared_postgres import without_fsync

from devstack.errors import DevstackError
from devstack.ports import free_offset
from devstack.postgres import SUPERUSER
from devstack.settings import DATABASES
from devstack.stack import Stack


class DevstackBackends(Backends):
    """Local processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.bootstrap = stack.settings.bootstrap
        self.postgres = stack.settings.own_dsn(SUPERUSER, SUPERUSER)

    def crash(self, name: Name) -> None:
        self._stack.kill(name)

    def freeze(self, name: Name) -> None:
        self._stack.kill(name, signal.SIGSTOP)

    def thaw(self, name: Name) -> None:
        with contextlib.suppress(DevstackError):  # it crashed, and is not there yet
            self._stack.kill(name, signal.SIGCONT)

    def wait_until_ready(self) -> None:
        self._stack.wait_until_ready(60)


@contextmanager
def local_processes(folder: Path) -> Iterator[Backends]:
    """The backends for as long as the session lasts."""
    with pytest.MonkeyPatch.context() as patch:
        # These tests crash what they use: it has to be theirs, whatever the environment offers.
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PARTITIONS", *(f"{n.upper()}_DATABASE_URL" for n in DATABASES)):
            patch.delenv(name, raising=False)
        with Stack(home=folder / ".devstack-test", offset=free_offset()) as stack:
            found = DevstackBackends(stack)
            without_fsync(found.postgres)
            yield found
