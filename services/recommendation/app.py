"""The recommendation service, wired."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from messaging.app import Service
from messaging.settings import Settings
from services.recommendation.copy import CopyReader, PairsCopy
from services.recommendation.handlers import SERVICE, RecommendationHandler
from services.recommendation.queries import routes

log = logging.getLogger(__name__)

#: The service has no tables of its own, only the runtime's: there is nothing in this folder, nor is there the folder.
MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Until the copy is loaded the process neither serves HTTP nor joins the group, so it is not ready. The wait has an end because
#: whoever asks is better served with an empty answer than with none, and because SIGTERM is only seen after it.
LOAD_PATIENCE_S: Final = 7.0


async def build(settings: Settings) -> Service:
    """The service for these settings, its copy loaded."""
    copy = PairsCopy()
    reader = CopyReader(settings, copy)
    reader.start()
    if not await reader.wait_loaded(LOAD_PATIENCE_S):
        log.warning("the copy is not loaded yet; answering from what is known: %d SKUs", len(copy.pairs))
    handler = RecommendationHandler(copy.pairs)
    return Service(SERVICE, handler.topics, MIGRATIONS, handler, routes=routes(copy.pairs), close=reader.close)
