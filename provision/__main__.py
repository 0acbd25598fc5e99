"""`python -m provision`: create the topics that are missing, and bring the databases named in the environment up to date.

`python -m provision access`: print who may do what (`access.toml`), as `kafka-acls.sh` and SQL understand it; with `--broker` make
the broker's ACLs, as the principal that `KAFKA_SASL_USERNAME` names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping

from messaging.errors import SettingsError
from messaging.secure import load_kafka_security
from messaging.settings import BOOTSTRAP_SERVERS, PARTITIONS, TASK_QUEUE
from provision.access import acls, grants, load_policy
from provision.acls import ensure_acls
from provision.databases import database_urls, ensure_schemas
from provision.errors import ProvisionError
from provision.topic_settings import load_topic_settings
from provision.topics import ensure_topics


def load_settings(env: Mapping[str, str]) -> tuple[str, int]:
    """The broker, and how many partitions the topics have. Raises `SettingsError`."""
    load_kafka_security(env)
    return BOOTSTRAP_SERVERS.read(env), PARTITIONS.read(env)


async def provision(env: Mapping[str, str]) -> None:
    """Do all of it; harmless where all is there. Raises `ProvisionError`, `SettingsError`."""
    bootstrap, partitions = load_settings(env)
    topics, urls = load_topic_settings(env), database_urls(env)
    await ensure_topics(bootstrap, partitions, topics)
    print(f"topics: all there, {partitions} partitions each")
    for name, applied in (await ensure_schemas(urls)).items():
        print(f"database {name}: {', '.join(applied) or 'up to date'}")


async def access(env: Mapping[str, str], broker: bool) -> None:
    """Tell the policy, or make the broker's part of it hold. Raises `ProvisionError`, `SettingsError`."""
    policy = load_policy()
    wanted = acls(policy, TASK_QUEUE.read(env))
    if broker:
        made = await ensure_acls(BOOTSTRAP_SERVERS.read(env), wanted)
        print(f"acls: {made} hold")
        return
    for acl in wanted:
        named = "--cluster" if acl.kind == "cluster" else f"--{acl.kind} {acl.name}"
        print(f"kafka-acls.sh --add --allow-principal User:{acl.principal} --operation {acl.operation} {named}")
    for database in sorted(name for one in policy.values() for name in one.owns):
        print(f'\\connect "{database}"')
        print(*(f"{statement};" for statement in grants(policy, database)), sep="\n")


def main() -> int:
    """The command line. 2: a setting is wrong."""
    parser = argparse.ArgumentParser(prog="python -m provision", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["access"], help="print who may do what, instead of making topics and schemas"
    )
    parser.add_argument("--broker", action="store_true", help="with access: make the broker's ACLs")
    chosen = parser.parse_args()
    work = provision(os.environ) if chosen.what is None else access(os.environ, chosen.broker)
    try:
        asyncio.run(work)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
