"""Sends the commands of a run at their pace and hears every verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from orderctl.bulk.receipts import Receipt
from orderctl.client import Client, utc_now
from orderctl.command import Command
from orderctl.errors import NoVerdictError, OrderctlError

#: So many orders may wait for their verdict at a time.
AT_ONCE: Final = 100
#: After so many commands in a row without a verdict nobody seems to be there: going on would only fill the topic.
GIVE_UP_AFTER: Final = 20


@dataclass(slots=True)
class Tally:
    """What has become of the commands so far. `silent`: no verdict came in time."""

    accepted: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    @property
    def receipts(self) -> int:
        """How many have their verdict."""
        return self.accepted + self.rejected.total()

    def add(self, receipt: Receipt) -> None:
        """Count a verdict."""
        self.accepted += receipt.verdict == "accepted"
        self.duplicates += receipt.duplicate
        if receipt.reason is not None:
            self.rejected[receipt.reason] += 1


class Runner:
    """One run. `on_receipt` is called for each verdict as it comes."""

    def __init__(
        self, client: Client, rate_per_s: float, timeout_s: float, on_receipt: Callable[[Receipt], None]
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._rate_per_s = rate_per_s
        self._timeout_s = timeout_s
        self._on_receipt = on_receipt
        self._stopped = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._silent_in_a_row = 0
        self._error: OrderctlError | None = None

    @property
    def gave_up(self) -> bool:
        """Whether it stopped because nobody answered."""
        return self._silent_in_a_row >= GIVE_UP_AFTER

    def stop(self) -> None:
        """Begin nothing more; what is under way is heard to its verdict."""
        self._stopped.set()

    async def run(self, commands: Iterable[Command]) -> Tally:
        """Send them one after another, and return when all that were sent have their verdict, or had their time.
        Raises `BrokerUnreachableError` when the broker stayed away, and what `on_receipt` raises; what is in the tally by then
        has its receipt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as asking:
            for number, command in enumerate(commands):
                await self._room.acquire()
                await self._wait_until(began + number / self._rate_per_s)
                if self._stopped.is_set():
                    break
                asking.create_task(self._ask(command))
        if self._error is not None:
            raise self._error
        return self.tally

    async def _wait_until(self, due: float) -> None:
        pause = due - asyncio.get_running_loop().time()
        if pause > 0 and not self._stopped.is_set():
            try:
                await asyncio.wait_for(self._stopped.wait(), pause)
            except TimeoutError:
                return

    async def _ask(self, command: Command) -> None:
        try:
            verdict = await self._client.ask(command, self._timeout_s)
            self._silent_in_a_row = 0
            receipt = Receipt.of(verdict, utc_now())
            self._on_receipt(receipt)
            self.tally.add(receipt)
        except NoVerdictError:
            self.tally.silent.append(command.key)
            self._silent_in_a_row += 1
            if self.gave_up:
                self.stop()
        except OrderctlError as error:
            # The others under way may still be answered; then the caller hears of it.
            self._error = error
            self.stop()
        finally:
            self._room.release()
