"""`python -m provision`: create the topics that are missing, and bring the databases named in the environment up to date."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

from messaging.errors import SettingsError
from messaging.settings import BOOTSTRAP_SERVERS, PARTITIONS
from provision.databases import database_urls, ensure_schemas
from provision.errors import ProvisionError
from provision.topics import ensure_topics


def load_settings(env: Mapping[str, str]) -> tuple[str, int]:
    """The broker, and how many partitions the topics have. Raises `SettingsError`."""
    return BOOTSTRAP_SERVERS.read(env), PARTITIONS.read(env)


async def provision(env: Mapping[str, str]) -> None:
    """Do all of it; harmless where all is there. Raises `ProvisionError`, `SettingsError`."""
    bootstrap, partitions = load_settings(env)
    urls = database_urls(env)
    await ensure_topics(bootstrap, partitions)
    print(f"topics: all there, {partitions} partitions each")
    for name, applied in (await ensure_schemas(urls)).items():
        print(f"database {name}: {', '.join(applied) or 'up to date'}")


def main() -> int:
    """The command line. 2: a setting is wrong."""
    try:
        asyncio.run(provision(os.environ))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
