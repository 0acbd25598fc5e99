"""What is bought together: the orchestrator's question, its answer, and what the stream processor learns."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from contracts.values import MAX_LINES, CommandData, EventData, Id, Sku

MAX_RECOMMENDED: Final = 5


class Recommend(CommandData):
    """What goes well with these? Answered from what is known now; nobody waits long for it."""

    request_id: Id
    skus: Annotated[tuple[Sku, ...], Field(min_length=1, max_length=MAX_LINES)]


class Recommended(EventData):
    """Answer to recommend: at most five SKUs that were bought most often together with those asked about, the best first."""

    request_id: str
    skus: tuple[Sku, ...]


COMMANDS: Final[dict[str, type[CommandData]]] = {"recommendation.recommend.v1": Recommend}

EVENTS: Final[dict[str, type[EventData]]] = {"recommendation.recommended.v1": Recommended}
