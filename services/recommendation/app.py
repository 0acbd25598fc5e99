"""The recommendation service, wired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from messaging.app import Service
from messaging.settings import Settings
from services.recommendation.copy import CopyReader, PairsCopy
from services.recommendation.handlers import SERVICE, RecommendationHandler

if TYPE_CHECKING:
    from aiohttp import web

#: The service has no tables of its own, only the runtime's: there is nothing in this folder, nor is there the folder.
MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def build(settings: Settings) -> Service:
    """The service for these settings. It is ready once its copy was read to where it ended at the start; it answers before that,
    from what is known, because whoever asks is better served with an empty answer than with none."""
    copy = PairsCopy()
    reader = CopyReader(settings, copy)
    reader.start()
    handler = RecommendationHandler(copy.pairs)

    def routes() -> Sequence[web.RouteDef]:
        from services.recommendation import queries

        return queries.routes(copy.pairs)

    return Service(
        SERVICE,
        handler.topics,
        MIGRATIONS,
        handler,
        routes=routes,
        close=reader.close,
        ready=lambda: reader.loaded,
    )
