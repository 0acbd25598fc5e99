"""Common transactions of a process's partitions, a step at a time: `messaging.together` without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any

from messaging.deciding import Deciding
from messaging.handler import Handler
from messaging.meters import Meters
from messaging.ports import Store
from messaging.together import Part, Together, transact
from simulation.clock import finish

Ended = int | Exception


class Promise:
    """See `messaging.together.Promise`: whoever awaits it hands it to whoever steps him, until it is kept or broken."""

    def __init__(self) -> None:
        self._result: Deciding | None = None
        self._error: BaseException | None = None

    def __await__(self) -> Generator[Promise, None, Deciding]:
        yield self
        if self._error is not None:
            raise self._error
        assert self._result is not None, "stepped before it was kept"
        return self._result

    def done(self) -> bool:
        """See `Promise`."""
        return self._result is not None or self._error is not None

    def set_result(self, result: Deciding, /) -> None:
        """See `Promise`."""
        self._result = result

    def set_exception(self, exception: BaseException, /) -> None:
        """See `Promise`."""
        self._error = exception


class _Later:
    """Work that was begun and is done when somebody gets to it."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.coroutine = coroutine
        self._done = False

    def done(self) -> bool:
        """Whether it has been done."""
        return self._done

    def do(self) -> None:
        """Do it."""
        self._done = True
        finish(self.coroutine)


class Company(Together):
    """A process's partitions. Each has transactions of its own, but those that are stepped `side_by_side` have common ones."""

    def __init__(self, handler: Handler, store: Store, meters: Meters) -> None:
        super().__init__(handler, store, meters, Promise, self._later)
        self._work_to_do: list[_Later] = []
        self._side_by_side = False

    def _later(self, work: Coroutine[Any, Any, None]) -> _Later:
        self._work_to_do.append(_Later(work))
        return self._work_to_do[-1]

    async def transact(self, part: Part) -> Deciding:
        """See `Together.transact`."""
        if self._side_by_side:
            return await super().transact(part)
        (work,) = await transact(self._handler, self._store, self._meters, [part])
        return work

    def side_by_side(self, steps: Sequence[Coroutine[Any, Any, int]]) -> list[Ended]:
        """Let these go on to their ends, each as far as it gets before it waits for the others; returns what came of each."""
        self._side_by_side = True
        ended: dict[int, Ended] = {}
        try:
            while len(ended) < len(steps):
                for place, step in enumerate(steps):
                    if place not in ended and (found := _go_on(step)) is not None:
                        ended[place] = found
                while self._work_to_do:
                    # Whoever waits for it is told how it failed.
                    with suppress(Exception):
                        self._work_to_do.pop().do()
        finally:
            self._side_by_side = False
            self._work_to_do.clear()
            for step in steps:
                step.close()
        return [ended[place] for place in range(len(steps))]


def _go_on(step: Coroutine[Any, Any, int]) -> Ended | None:
    try:
        step.send(None)
    except StopIteration as end:
        return int(end.value)
    except Exception as error:  # noqa: BLE001 - it is raised where the partition's own steps are seen to
        return error
    return None
