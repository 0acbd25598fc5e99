"""The topics, as the contracts want them: made by the job that makes them everywhere, its errors told as devstack's own."""

from __future__ import annotations

from devstack.errors import ProvisionError
from provision import topics
from provision.errors import ProvisionError as NotProvidedError


async def ensure_topics(bootstrap: str, partitions: int) -> None:
    """See `provision.topics.ensure_topics`. Raises `ProvisionError`."""
    try:
        await topics.ensure_topics(bootstrap, partitions)
    except NotProvidedError as error:
        raise ProvisionError(str(error)) from error
