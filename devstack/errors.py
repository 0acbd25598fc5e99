"""What can go wrong with the stack, said so that a person knows what to do."""

from __future__ import annotations


class DevstackError(Exception):
    """The stack cannot do what was asked. The message is one sentence or two, and says what to do."""


class PortTakenError(DevstackError):
    """Another program listens where the stack wants to."""

    def __init__(self, port: int, name: str, holder: str | None) -> None:
        self.port = port
        by = f" by {holder}" if holder else " by another program"
        super().__init__(
            f"Port {port}, which {name} needs, is taken{by}. "
            "Stop that program, or set DEVSTACK_PORT_OFFSET (say, to 100) to move every port of this stack."
        )


class NoJavaError(DevstackError):
    """There is no Java 17 or newer, and none could be installed."""


class JarsError(DevstackError):
    """The broker's jars could not be fetched, or are not what the pinned list says."""


class ProvisionError(DevstackError):
    """Broker or database run, but cannot be given the topics, roles or databases that the services need."""


class NotReadyError(DevstackError):
    """Something was started and did not become ready."""
