"""Accounts and sessions, in the console's own database."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from contracts.values import is_id
from services.console.act_store import ADD, Act, columns_of
from services.console.domain import Role

T = TypeVar("T")
#: The name and the role of who does something.
Author = tuple[str, str]
#: Who works on the console's own machine has no account of the console's.
AT_THE_HOST: Final[Author] = ("(at the host)", "operator")

#: What is raised where the database is away.
AWAY: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
ANSWERS_WITHIN_S: Final = 2.0

ANY_ACCOUNT: Final = "SELECT EXISTS (SELECT FROM account)"
FIND_ACCOUNT: Final = "SELECT name, role, password_hash, one_time FROM account WHERE name = $1"
ADD_FIRST: Final = """
INSERT INTO account (name, role, password_hash, one_time) SELECT $1, 'operator', $2, true
WHERE NOT EXISTS (SELECT FROM account) ON CONFLICT DO NOTHING RETURNING name
"""
ROLE_OF: Final = "SELECT role FROM account WHERE name = $1 FOR UPDATE"
PUT_ACCOUNT: Final = """
INSERT INTO account (name, role, password_hash, one_time) VALUES ($1, $2, $3, true)
ON CONFLICT (name) DO UPDATE SET role = $2, password_hash = $3, one_time = true
"""
SET_HASH: Final = "UPDATE account SET password_hash = $2, one_time = false WHERE name = $1 RETURNING role"
END_SESSIONS_OF: Final = "DELETE FROM session WHERE account = $1"
LIST_ACCOUNTS: Final = "SELECT name, role, one_time, created_at FROM account ORDER BY name"
ADD_SESSION: Final = "INSERT INTO session (token_hash, account, csrf, expires_at) VALUES ($1, $2, $3, $4)"
FIND_SESSION: Final = """
SELECT a.name, a.role, a.one_time, s.csrf FROM session AS s JOIN account AS a ON a.name = s.account
WHERE s.token_hash = $1 AND s.expires_at > $2
"""
END_SESSION: Final = "DELETE FROM session WHERE token_hash = $1 OR expires_at <= $2"
#: Compared with where there is no such account, so that a name that exists does not answer more slowly. Written down, because
#: to make one at every start takes as long as a log-in. Nobody gets in by its password: there is no account that has it.
NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$vAr+y6JVJ8nOFJPS3ttvLA$8K2dN5TgiqxewcmyDyjt+RyG4Jad+ftGNXAZr2aGWjI"


#: So many passwords are hashed at a time: each takes 64 MiB and all the processor it gets, which the pages need as well.
HASHED_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Person:
    """Who is logged in. `csrf` belongs into every form; `one_time`: the password has to be changed first."""

    name: str
    role: Role
    csrf: str
    one_time: bool


class ConsoleStore:
    """See the module. Hashing a password takes tens of milliseconds on purpose: it is done in a few threads of its own."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._hasher = PasswordHasher()
        # Not a semaphore: a thread goes on when whoever waited for it has gone, and has its place until it is done.
        self._threads = ThreadPoolExecutor(HASHED_AT_ONCE, "password")

    async def _in_thread(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def answers(self) -> bool:
        """Whether the database does."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await self._pool.execute("SELECT 1")
        except AWAY:  # a timeout is an OSError
            return False
        return True

    async def _hashed(self, password: str) -> str:
        return await self._in_thread(self._hasher.hash, password)

    async def first_password(self) -> str | None:
        """Make the account `admin` where there is none at all, and return its one-time password."""
        if await self._pool.fetchval(ANY_ACCOUNT):
            return None
        password = secrets.token_urlsafe(12)
        made = await self._pool.fetchval(ADD_FIRST, "admin", await self._hashed(password))
        return password if made is not None else None

    async def put_account(self, name: str, role: Role, by: Author = AT_THE_HOST, reason: str = "not said") -> str:
        """Make an account, or give it another role; returns its new one-time password. All its sessions end. It is done and on
        record, or neither."""
        password = secrets.token_urlsafe(12)
        hashed = await self._hashed(password)
        async with self._pool.acquire() as connection, connection.transaction():
            before = await connection.fetchval(ROLE_OF, name)
            await connection.execute(PUT_ACCOUNT, name, role, hashed)
            await connection.execute(END_SESSIONS_OF, name)
            was = "made" if before is None else "a new password" if before == role else f"was {before}"
            act = Act(*by, "account", name, reason)
            await connection.execute(ADD, *columns_of(act), f"{was}; {role}, with a one-time password")
        return password

    async def accounts(self) -> list[dict[str, Any]]:
        """Who may log in."""
        return [dict(row) for row in await self._pool.fetch(LIST_ACCOUNTS)]

    async def check(self, name: str, password: str) -> bool:
        """Whether this is the account's password."""
        # The database refuses some texts that nobody is called: they are wrong names, and no trouble of the database's.
        row = await self._pool.fetchrow(FIND_ACCOUNT, name) if is_id(name) else None
        try:
            known = NOBODY if row is None else row["password_hash"]
            await self._in_thread(self._hasher.verify, known, password)
        except (VerifyMismatchError, InvalidHashError, UnicodeEncodeError):
            return False
        return row is not None

    async def set_password(self, name: str, password: str) -> None:
        """A password of the person's own; every session ends."""
        hashed = await self._hashed(password)
        async with self._pool.acquire() as connection, connection.transaction():
            role = await connection.fetchval(SET_HASH, name, hashed)
            await connection.execute(END_SESSIONS_OF, name)
            if role is not None:
                await connection.execute(ADD, *columns_of(Act(name, role, "password", name, "their own")), "changed")

    async def open_session(self, name: str, now: datetime, hours: int) -> str:
        """The token for the cookie; it is told once and kept nowhere."""
        token = secrets.token_urlsafe(32)
        until = now + timedelta(hours=hours)
        await self._pool.execute(ADD_SESSION, _hash(token), name, secrets.token_urlsafe(24), until)
        return token

    async def person(self, token: str, now: datetime) -> Person | None:
        """Whose session this is, as long as it lasts."""
        row = await self._pool.fetchrow(FIND_SESSION, _hash(token), now)
        if row is None:
            return None
        return Person(row["name"], cast("Role", row["role"]), row["csrf"], row["one_time"])

    async def end_session(self, token: str, now: datetime) -> None:
        """Log out; sessions that are over go with it."""
        await self._pool.execute(END_SESSION, _hash(token), now)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
