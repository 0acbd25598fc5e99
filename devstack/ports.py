"""Whether the ports that a stack needs are free, and who has them if not."""

from __future__ import annotations

import random
import socket

import psutil

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from devstack.errors import DevstackError, PortTakenError
from devstack.processes import ProcessSpec
from devstack.settings import CONTROLLER_PORT, KAFKA_PORT, LOOPBACK, MAIL_PAGE_PORT, SMTP_PORT, Settings


def require_free_ports(settings: Settings, specs: tuple[ProcessSpec, ...]) -> None:
    """Raises `PortTakenError` for the first port on which another program listens."""
    wanted = [(spec.name, spec.port) for spec in specs]
    if any(name == "kafka" for name, _ in wanted):
        wanted.append(("kafka's controller", CONTROLLER_PORT + settings.offset))
    if any(name == "smtp-sink" for name, _ in wanted):
        wanted.append(("smtp-sink's page", settings.mail_page_port))
    for name, port in wanted:
        if port is not None and not is_free(port):
            raise PortTakenError(port, name, _holder(port))


def is_free(port: int) -> bool:
    """Whether one could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still being forgotten is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that was free a moment ago, for one process beside a stack."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        found: int = probe.getsockname()[1]
        return found


def ports_at(offset: int) -> frozenset[int]:
    """Every port that a stack may need."""
    bases = (KAFKA_PORT, CONTROLLER_PORT, SMTP_PORT, MAIL_PAGE_PORT, WATCHER_PORT, *HTTP_PORTS.values())
    return frozenset(base + offset for base in bases)


def free_offset() -> int:
    """An offset at which every port of a stack is free now, for a stack beside another one."""
    # Below the ports that the system hands out by itself; drawn, so that two that look at once seldom find the same.
    for offset in random.sample(range(200, 20_000, 20), 200):
        if all(map(is_free, ports_at(offset))):
            return offset
    raise DevstackError("No offset was found at which all ports of a stack are free.")


def _holder(port: int) -> str | None:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess, PermissionError):
        # Another user's program, or gone this moment: its name is a courtesy, not the message.
        return None
    return None
