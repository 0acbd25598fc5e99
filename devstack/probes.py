"""Whether a process is ready, asked from outside."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Final

import asyncpg

from devstack.processes import ProcessSpec

_TIMEOUT_S: Final = 2.0
#: Loopback is asked directly, whatever proxy the environment names.
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def is_ready(spec: ProcessSpec) -> bool:
    """Whether the process answers as its probe says."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            match spec.probe:
                case "tcp":
                    return await _accepts(spec.target)
                case "http":
                    return await asyncio.to_thread(_answers, spec.target)
                case "postgres":
                    return await _connects(spec.target)
    except TimeoutError:
        return False


async def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def _answers(url: str) -> bool:
    # A plain request in a thread: a client session for one GET per second would be more than this needs.
    try:
        with _DIRECT.open(url, timeout=_TIMEOUT_S) as response:
            return int(response.status) == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


async def _connects(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    await connection.close()
    return True
