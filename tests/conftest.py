"""What all tests share: a real Kafka and a real PostgreSQL, started once and only if a test asks for them."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator

import pytest
from backends import Backends
from container_backends import containers, docker_answers, images_of_backends, missing_image
from hypothesis import settings
from local_backends import local_processes

from messaging.logs import QUIET, refuse_unknown_keys

# A machine that judges a change must not be luckier than another; people's runs go on searching.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# What the vocabulary does not have must not reach a log, and a test is where that is found out.
refuse_unknown_keys()


def pytest_collection_finish() -> None:
    """What thousands of collected tests are made of lives to the end: the garbage collector need not look through it again and
    again. Nor so often through a simulated world, which is alive as a whole until it is over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 5)


def pytest_report_header() -> str:
    found = (
        "containers (a Docker engine answers), if their images can be had"
        if docker_answers()
        else "local processes, by devstack (no Docker here)"
    )
    return f"Kafka and PostgreSQL of the integration tests: {found}"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that was run in this process has set up logging for a process of its own."""
    loggers = [logging.getLogger(name) for name in (None, "messaging", *QUIET)]
    levels, handlers, hook = [one.level for one in loggers], [*loggers[0].handlers], sys.excepthook
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    loggers[0].handlers[:] = handlers
    sys.excepthook = hook


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """A Kafka and a PostgreSQL of this session's own; a test may crash them if it waits until they are ready again."""
    docker = docker_answers()
    if docker and (missing := missing_image(*images_of_backends())) is not None:
        warnings.warn(f"The image {missing} cannot be had: local processes after all.", stacklevel=1)
        docker = False
    with containers() if docker else local_processes(tmp_path_factory.mktemp("backends")) as found:
        yield found
