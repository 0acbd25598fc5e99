"""Who may do what on which topic, group and table: the policy (`access.toml`), as ACLs for the broker and SQL for the databases."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

from contracts.topics import all_topics

POLICY: Final = Path(__file__).with_name("access.toml")
#: Where a database's tables stand, if not in `public`.
SCHEMAS: Final = {"gateway": "gateway"}
_WORDS: Final = frozenset({"reads", "writes", "group", "owns", "looks"})


class PolicyError(Exception):
    """The policy cannot be what was meant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """What one may do. Topics are whole names; `group` is the name behind the task queue's."""

    name: str
    reads: frozenset[str]
    writes: frozenset[str]
    group: str | None
    owns: tuple[str, ...]
    looks: tuple[str, ...]

    @property
    def role(self) -> str:
        """Its name in the databases."""
        return self.name.replace("-", "_")


class Acl(NamedTuple):
    """One thing that is allowed on the broker."""

    principal: str
    operation: str
    kind: str
    name: str


def load_policy(path: Path = POLICY) -> dict[str, Principal]:
    """The policy. Raises `PolicyError` for a word, a topic or a database that does not exist, and for a second owner of one."""
    tables: Mapping[str, Mapping[str, Any]] = tomllib.loads(path.read_text())
    topics = [spec.name for spec in all_topics()]
    found = {name: _principal(name, table, topics) for name, table in tables.items()}
    owned = [database for one in found.values() for database in one.owns]
    if len(owned) != len(set(owned)):
        raise PolicyError("A database has two owners.")
    if unknown := {database for one in found.values() for database in one.looks} - set(owned):
        raise PolicyError(f"Nobody owns {', '.join(sorted(unknown))}.")
    return found


def _principal(name: str, table: Mapping[str, Any], topics: Iterable[str]) -> Principal:
    if unknown := table.keys() - _WORDS:
        raise PolicyError(f"{name}: {', '.join(sorted(unknown))} is none of {', '.join(sorted(_WORDS))}.")
    group = table.get("group")
    letters = frozenset(topic for topic in topics if group and topic.endswith(f".{group}.dlq"))
    return Principal(
        name=name,
        reads=frozenset(_named(name, table.get("reads", ()), topics)),
        writes=frozenset(_named(name, table.get("writes", ()), topics)) | letters,
        group=group,
        owns=tuple(table.get("owns", ())),
        looks=tuple(table.get("looks", ())),
    )


def _named(name: str, patterns: Iterable[str], topics: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        found = [topic for topic in topics if fnmatchcase(topic, pattern)]
        if not found:
            raise PolicyError(f"{name}: no topic is named {pattern}.")
        yield from found


def acls(policy: Mapping[str, Principal], queue: str) -> list[Acl]:
    """What the broker is to allow. Who reads or writes a topic may also ask about it."""
    found: list[Acl] = []
    for one in policy.values():
        found += [Acl(one.name, "read", "topic", topic) for topic in sorted(one.reads)]
        found += [Acl(one.name, "write", "topic", topic) for topic in sorted(one.writes)]
        if one.group is not None:
            found.append(Acl(one.name, "read", "group", f"{queue}.{one.group}"))
        if one.looks and one.reads:  # who looks after others asks how far their groups have come
            found += [Acl(one.name, "describe", "group", f"{queue}.{group}") for group in _groups(policy)]
            found.append(Acl(one.name, "describe", "cluster", "kafka-cluster"))
    return found


def _groups(policy: Mapping[str, Principal]) -> list[str]:
    return sorted(one.group for one in policy.values() if one.group is not None)


def grants(policy: Mapping[str, Principal], database: str) -> list[str]:
    """The SQL for one database, to be run in it by a superuser, before its schema is there or after; again does no harm. Roles are
    made where they are missing, without a password: whoever gives them one decides how they prove who they are."""
    owner = next(one.role for one in policy.values() if database in one.owns)
    lookers = [one.role for one in policy.values() if database in one.looks]
    schema = SCHEMAS.get(database, "public")
    return [
        *(_role(role) for role in (owner, *lookers)),
        f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC',
        f'ALTER DATABASE "{database}" OWNER TO "{owner}"',
        f'CREATE SCHEMA IF NOT EXISTS "{schema}" AUTHORIZATION "{owner}"',
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        *(statement for role in lookers for statement in _looking(role, owner, database, schema)),
    ]


def _role(role: str) -> str:
    return f'DO $$ BEGIN CREATE ROLE "{role}" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$'


def _looking(role: str, owner: str, database: str, schema: str) -> list[str]:
    """What is there may be read, and what its owner will make, too."""
    return [
        f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"',
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{schema}" GRANT SELECT ON TABLES TO "{role}"',
    ]
