"""What all tests share: a real Kafka and a real PostgreSQL, started once and only if a test asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from backends import Backends
from container_backends import containers, docker_answers
from hypothesis import settings
from local_backends import local_processes

from messaging.logs import refuse_unknown_keys

# A machine that judges a change must not be luckier than another; people's runs go on searching.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# What the vocabulary does not have must not reach a log, and a test is where that is found out.
refuse_unknown_keys()


def pytest_report_header() -> str:
    found = (
        "containers (a Docker engine answers)" if docker_answers() else "local processes, by devstack (no Docker here)"
    )
    return f"Kafka and PostgreSQL of the integration tests: {found}"


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """A Kafka and a PostgreSQL of this session's own; a test may crash them if it waits until they are ready again."""
    with containers() if docker_answers() else local_processes(tmp_path_factory.mktemp("backends")) as found:
        yield found
