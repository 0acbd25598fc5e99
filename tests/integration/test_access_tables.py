"""The databases' part of `provision/access.toml`, tried on a server that enforces it: every table and function, each statement."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
import pytest
from access_bench import (
    POLICY,
    as_role,
)

#: Each table, and a column of it that may be written.
TABLES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS "table", quote_ident(min(a.attname)) AS "column"
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
GROUP BY 1
"""
VIEWS: Final = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
#: What a trigger runs cannot be called.
FUNCTIONS: Final = """
SELECT format('%I.%I', n.nspname, p.proname) AS name, p.prosecdef AS as_its_owner
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prorettype <> 'trigger'::regtype
"""
#: Every function as somebody would call it, and whether it only reads (or reckons). None needs a grant of its own: each runs as
#: whoever calls it, and so lets nobody do what the tables do not.
CALLS: Final = {
    "gateway.entries": ("gateway.entries(now())", True),
    "public.expect_fence": ("expect_fence(1)", True),
    "public.expect_rows": ("expect_rows('rows', 1, 1)", True),
    "public.outbox_part": ("outbox_part(now())", True),
    "public.outbox_state": ("outbox_state(0, now())", True),
    "public.forget_outbox": ("forget_outbox(now())", False),
    "public.published_part": ("published_part(now())", True),
    "public.forget_places": ("forget_places(now())", False),
    "public.restore_orders": ("restore_orders('{}')", False),
}


def statements(table: str, column: str) -> dict[str, str]:
    """What changes a table, each so that nothing is changed."""
    return {
        "insert": f"INSERT INTO {table} ({column}) SELECT NULL WHERE false",
        "update": f"UPDATE {table} SET {column} = {column} WHERE false",
        "delete": f"DELETE FROM {table} WHERE false",
        "truncate": f"TRUNCATE {table} CASCADE",
    }


MAKING: Final = ("CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine", "CREATE TEMPORARY TABLE mine (a int)")


#: So that there is something to forget: a row of long ago that is published.
OVERDUE: Final = (
    "INSERT INTO partition_ownership (partition, published_seq) VALUES (0, 1)",
    """
    INSERT INTO outbox (partition, seq, target, topic, type, created_at, part)
    VALUES (0, 1, 0, 'a', 'b', now() - interval '1 day', 0)
    """,
    """
    INSERT INTO published (partition, first_seq, last_seq, topics, seqs, offsets, part)
    VALUES (0, 1, 1, '{a}', '{1}', '{0}', published_part(now() + interval '721 hours'))
    """,
)


@pytest.fixture(scope="module")
def overdue(databases: dict[str, str]) -> dict[str, str]:
    """The databases; what has an outbox has something in it."""

    async def write() -> None:
        for url in databases.values():
            connection = await asyncpg.connect(url)
            if await connection.fetchval("SELECT to_regclass('outbox')") is not None:
                for statement in OVERDUE:
                    await connection.execute(statement)
            await connection.close()

    asyncio.run(write())
    return databases


@pytest.mark.parametrize("name", POLICY)
async def test_in_the_databases_everybody_may_do_what_the_policy_says_and_nothing_else(
    overdue: dict[str, str], name: str
) -> None:
    one = POLICY[name]
    for database, url in overdue.items():
        admin = await asyncpg.connect(url)
        tables = [(row["table"], row["column"]) for row in await admin.fetch(TABLES)]
        views = [row[0] for row in await admin.fetch(VIEWS)]
        functions = [row["name"] for row in await admin.fetch(FUNCTIONS)]
        await admin.close()
        assert tables, database
        may_enter = database in one.owns or database in one.looks
        try:
            connection = await asyncpg.connect(as_role(url, one.role))
        except asyncpg.InsufficientPrivilegeError:
            assert not may_enter, database
            continue
        assert may_enter, database
        owns = database in one.owns
        for table in (*(table for table, _ in tables), *views):
            assert await lets(connection, f"SELECT * FROM {table} LIMIT 1"), table
        for table, column in tables:
            may = {what: await lets(connection, tried) for what, tried in statements(table, column).items()}
            assert may == dict.fromkeys(may, owns), table
        for function in functions:
            call, reads = CALLS[function]
            assert await lets(connection, f"SELECT * FROM {call}") == (owns or reads), function
        for statement in MAKING:
            assert await lets(connection, statement) == owns, f"{database}: {statement}"
        await connection.close()


async def test_every_function_is_tried_and_none_runs_as_its_owner(databases: dict[str, str]) -> None:
    found = set()
    for url in databases.values():
        admin = await asyncpg.connect(url)
        for row in await admin.fetch(FUNCTIONS):
            assert not row["as_its_owner"], row["name"]
            found.add(row["name"])
        await admin.close()
    assert found == CALLS.keys()


async def lets(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> bool:
    """Whether the database would do it; nothing is left of it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await transaction.rollback()
    return True
