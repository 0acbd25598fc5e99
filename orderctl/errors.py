"""What can go wrong in the client. Each message says what to do; each error knows its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from orderctl.exits import Exit


class OrderctlError(Exception):
    """Base of this package's errors."""

    exit_code: ClassVar[Exit] = Exit.ERROR


class UsageError(OrderctlError):
    """The arguments do not make a command; nothing was sent."""

    exit_code = Exit.USAGE


class BrokerUnreachableError(OrderctlError):
    """No broker answered in time."""

    def __init__(self, bootstrap_servers: str, waited_s: float, cause: str) -> None:
        super().__init__(
            f"No Kafka broker answered at {bootstrap_servers} within {waited_s:g} s ({cause}). "
            "Start the stack with `make up`, or set KAFKA_BOOTSTRAP_SERVERS."
        )
        self.bootstrap_servers = bootstrap_servers
        self.waited_s = waited_s


class TopicMissingError(OrderctlError):
    """The broker is there, the topic is not."""

    def __init__(self, topic: str, bootstrap_servers: str) -> None:
        super().__init__(
            f"The broker at {bootstrap_servers} has no topic {topic}. Is it the right broker? `make up` creates the topics."
        )
        self.topic = topic


class ApiUnreachableError(OrderctlError):
    """A query API does not answer."""

    def __init__(self, name: str, url: str, cause: str) -> None:
        super().__init__(
            f"The {name} API at {url} cannot be reached ({cause}). "
            f"Start the stack with `make up`, or set {name.upper()}_API_URL."
        )
        self.url = url


class ApiError(OrderctlError):
    """A query API answered with an error. `status` is HTTP's."""

    def __init__(self, name: str, url: str, status: int, detail: str) -> None:
        super().__init__(f"The {name} API answered {status} to {url}: {detail}")
        self.status = status


class NotFoundError(OrderctlError):
    """There is no such thing."""

    exit_code = Exit.NOT_FOUND


class NoVerdictError(OrderctlError):
    """The command was sent and nobody said in time what became of it."""

    exit_code = Exit.TIMEOUT

    def __init__(self, command_id: str, waited_s: float, service: str) -> None:
        super().__init__(
            f"No verdict on command {command_id} within {waited_s:g} s. It is on the topic and takes effect when the "
            f"{service} service runs (`make status`). Sending it again with --command-id {command_id} is harmless."
        )
        self.command_id = command_id


class NoEndError(OrderctlError):
    """The order was followed and did not end in time."""

    exit_code = Exit.TIMEOUT

    def __init__(self, order_id: str, waited_s: float) -> None:
        super().__init__(
            f"Order {order_id} did not end within {waited_s:g} s; it goes on. "
            f"See `orderctl status {order_id}`, or go on watching with `orderctl watch {order_id}`."
        )
        self.order_id = order_id


class NoAnswersError(OrderctlError):
    """Shop commands were sent and some were not answered in time. `missing` counts them."""

    exit_code = Exit.TIMEOUT

    def __init__(self, missing: int, asked: int, waited_s: float) -> None:
        super().__init__(
            f"{missing} of {asked} commands to inventory and customer were not answered within {waited_s:g} s. "
            "Are both services running (`make status`)? The same again is harmless."
        )
        self.missing = missing


class ReceiptError(OrderctlError):
    """A receipt could not be kept; the run stops."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(
            f"No more receipts can be written to {path} ({cause}). Make room; the same command with this file then goes on there, "
            "and what has been sent without a receipt is told as a duplicate."
        )
        self.path = path
