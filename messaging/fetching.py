"""Incremental fetches (KIP-227) for aiokafka's consumers, on a connection of their own.

By itself aiokafka names every partition in every fetch, and is answered about every one of them: a service that reads six topics of
four partitions packs and unpacks two dozen of them, in Python, for one record. In a session the broker remembers what is read: a
fetch names what has changed since the last one, and the answer what there is to tell.

And it asks everything else on the connection on which a fetch may be waiting at the broker, which answers a connection's requests
one after the other: where nothing comes, whoever asks for the end of a partition waits for up to half a second each time (a
partition that goes on after its database was away asks three times, a timer once).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import for_code
from aiokafka.protocol.fetch import FetchRequest

from messaging.logs import get_logger

log = get_logger(__name__)

#: The first version of a fetch that has sessions.
_SINCE: Final = 7
#: The error code of a broker that has forgotten the session: it started anew, or needed the room.
_NOT_FOUND: Final = 70

#: aiokafka keeps a connection for each node and group of requests; its own groups are numbers.
FETCHES: Final = "fetches"

Place = tuple[str, int]
Send = Callable[[FetchRequest], Awaitable[Any]]


def fetch_incrementally(consumer: AIOKafkaConsumer) -> None:
    """Have the consumer, which is not started yet, keep a session with each broker that it reads from, on its own connection."""
    client = consumer._client
    send = client.send
    sessions: dict[Any, FetchSession] = defaultdict(FetchSession)

    async def through_session(node_id: Any, request: Any, **more: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node_id, request, **more)
        return await sessions[node_id].fetch(request, lambda asked: send(node_id, asked, **more, group=FETCHES))

    client.send = through_session


class FetchSession:
    """What one broker and one reader agree on. After anything but an answer without an error nothing is agreed on, and the next
    fetch names everything again: at worst it costs what it did without a session."""

    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        # What the broker reads for this session: from where, and how much at most.
        self._known: dict[Place, tuple[int, int]] = {}

    async def fetch(self, request: FetchRequest, send: Send) -> Any:
        """The answer to `request`. Of an incremental one, what is not told has not changed."""
        wanted = {(topic, p): (offset, most) for topic, parts in request.topics for p, offset, most in parts}
        if self._epoch == 0:
            self._known = {}
        changed = [(place, at) for place, at in wanted.items() if self._known.get(place) != at]
        forgotten = [place for place in self._known if place not in wanted]
        asked = _Asked(request, (self._id, self._epoch), changed, forgotten)
        # Until the answer is there nothing is known: whoever is cancelled here begins anew.
        epoch, self._epoch = self._epoch, 0
        response = await send(asked)
        error = getattr(response, "error_code", 0)
        if error:
            log.info("fetch-session-over", error=for_code(error).__name__)
            self._id = 0 if error == _NOT_FOUND else self._id
            return response
        self._id = getattr(response, "session_id", 0)
        if self._id:  # else the broker has no room for one, or does not know of sessions
            self._known = wanted
            self._epoch = epoch + 1 if epoch < 2**31 - 1 else 1
        return response


class _Asked(FetchRequest):  # type: ignore[misc]
    """A fetch within a session."""

    def __init__(
        self,
        plain: FetchRequest,
        session: tuple[int, int],
        changed: list[tuple[Place, tuple[int, int]]],
        forgotten: list[Place],
    ) -> None:
        topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, partition), (offset, most) in changed:
            topics[topic].append((partition, offset, most))
        self._session = session
        self._forgotten: dict[str, list[int]] = defaultdict(list)
        for topic, partition in forgotten:
            self._forgotten[topic].append(partition)
        super().__init__(
            plain._max_wait_ms,
            plain._min_bytes,
            plain._max_bytes,
            plain._isolation_level,
            list(topics.items()),
            plain._rack_id,
        )

    def build(self, request_struct_class: Any) -> Any:
        """See `FetchRequest.build`."""
        built = super().build(request_struct_class)
        if request_struct_class.API_VERSION >= _SINCE:
            built.session_id, built.session_epoch = self._session
            built.forgotten_topics_data = list(self._forgotten.items())
        return built
