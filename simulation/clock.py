"""Time that moves only when it is told to, and coroutines that are stepped by hand: no event loop, no thread, no waiting."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Where virtual time begins.
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Nap:
    """What a sleeping coroutine hands to whoever steps it: when it wants to go on."""

    def __init__(self, until: datetime) -> None:
        self.until = until

    def __await__(self) -> Generator[_Nap, None, None]:
        yield self


class VirtualClock:
    """Implements `messaging.ports.Clock` and the gateway's clock."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        """The virtual time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Come back when virtual time has moved so far."""
        await _Nap(self._now + timedelta(seconds=max(seconds, 0.0)))

    def move_to(self, at: datetime) -> None:
        """Let time pass. It never goes back."""
        if at < self._now:
            raise ValueError(f"Time does not go back from {self._now} to {at}.")
        self._now = at


class Stepped:
    """A coroutine that is stepped by hand. Until it is `done`, it may be stepped at `wake_at` or later."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], now: datetime) -> None:
        self._coroutine = coroutine
        self.wake_at = now
        self.done = False
        self.result: Any = None

    def step(self) -> None:
        """Let it run until it sleeps or ends."""
        try:
            nap = self._coroutine.send(None)
        except StopIteration as end:
            self.done, self.result = True, end.value
            return
        self.wake_at = _known(nap).until

    def abandon(self) -> None:
        """It never goes on: its process is dead."""
        self._coroutine.close()


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait: what is in memory never does."""
    try:
        nap = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError(f"This must not wait here, but it does, until {_known(nap).until}.")


def _known(nap: Any) -> _Nap:
    if not isinstance(nap, _Nap):
        raise TypeError(f"Only the virtual clock can be waited for here, not {nap!r}.")
    return nap
