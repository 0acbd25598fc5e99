"""A connection to a database, and the words in which its errors are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from messaging.errors import FenceLostError, MessagingError, PermanentStoreError, StaleRowError, TransientStoreError
from messaging.safe_text import safe_text

COMMAND_TIMEOUT_S: Final = 20
CONNECT_TIMEOUT_S: Final = 5
#: A batch's transaction that says nothing for so long is ended by the server. Where the way to its process died without a word,
#: nobody else would end it, and whoever goes on would wait for its locks for ever.
IDLE_IN_TRANSACTION_S: Final = 5
# Every statement here goes by key. A plan that was made while a table was small would keep scanning it whole as it grows
# (until the next analyze); measured on the gateway's ledger: 124 against 15 microseconds per row. So there is but one plan for each
# of them, and it is made once: planned anew for every small batch, the statements took a seventh more of the server's time.
BY_KEY_ONLY: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "application_name": "messaging",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
}
# What no retry makes acceptable: SQLSTATE classes 22 (data exception), 23 (integrity violation) and 54 (program limit exceeded).
_PERMANENT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
TRANSIENT: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Line:
    """A connection that is opened when it is first asked for, and anew where it is gone. Who shares it takes `turn`s."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._turns = asyncio.Lock()
        self.held: asyncpg.Connection | None = None

    async def opened(self) -> asyncpg.Connection:
        """The connection."""
        if self.held is None or self.held.is_closed():
            with translated():
                self.held = await asyncpg.connect(
                    self._dsn,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=COMMAND_TIMEOUT_S,
                    server_settings=BY_KEY_ONLY,
                )
        return self.held

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[asyncpg.Connection]:
        """The connection, for one alone. Where the server did not answer, or was not waited for, whoever comes next gets another
        one: this one may be dead, or still be busy with what was left."""
        async with self._turns:
            connection = await self.opened()
            try:
                with translated():
                    yield connection
            except TransientStoreError as error:
                if not isinstance(error.__cause__, asyncpg.PostgresError):
                    self.terminate()
                raise
            except MessagingError:
                raise
            except BaseException:
                self.terminate()
                raise

    def terminate(self) -> None:
        """Let the connection go, without a word to the server."""
        if self.held is not None:
            self.held.terminate()
            self.held = None


class translated:  # noqa: N801 - used as a statement
    """Driver errors become the runtime's words where they arise."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate == "OP002":
            raise FenceLostError(str(error)) from error
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate == "OP001":
            raise StaleRowError(str(error)) from error
        if isinstance(error, _PERMANENT):
            # The driver's text may hold the data; the SQLSTATE does not.
            raise PermanentStoreError(f"refused with {type(error).__name__}") from error
        if isinstance(error, TRANSIENT):
            raise TransientStoreError(safe_text(error)) from error
