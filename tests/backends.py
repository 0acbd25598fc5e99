"""What the tests need of a broker and a database, whoever runs them: containers or local processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Literal

Name = Literal["kafka", "postgres"]
NAMES: Final[tuple[Name, ...]] = ("kafka", "postgres")


class Backends(ABC):
    """The broker and the database of one test session, and what can be done to them."""

    bootstrap: str
    #: A superuser's way into the maintenance database.
    postgres: str

    def dsn(self, database: str) -> str:
        """The same, into another database."""
        head, _, tail = self.postgres.partition("?")
        return f"{head.rpartition('/')[0]}/{database}" + (f"?{tail}" if tail else "")

    @abstractmethod
    def crash(self, name: Name) -> None:
        """Kill it. It begins to come back at once; see `wait_until_ready`."""

    @abstractmethod
    def freeze(self, name: Name) -> None:
        """It answers nothing more, and nobody is told."""

    @abstractmethod
    def thaw(self, name: Name) -> None:
        """It goes on where it was frozen."""

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Wait until both answer."""

    def heal(self) -> None:
        """Thaw what is frozen, wait for what crashed: as if nothing had been."""
        for name in NAMES:
            self.thaw(name)
        self.wait_until_ready()
