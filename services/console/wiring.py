"""What every page needs, put together once: `Console`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, cast

from fastapi import Request
from fastapi.templating import Jinja2Templates

from orderctl.http import Apis
from services.console.act_store import ActStore
from services.console.aside import Aside
from services.console.bulk import Bulks
from services.console.letters import Letters
from services.console.live import Hub
from services.console.settings import Settings
from services.console.store import ConsoleStore
from services.console.watch import Watch

#: So many pages at a time ask everybody why an order stands where it stands.
DOCTORS: Final = 3


def utc_now() -> datetime:
    """The time, UTC-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Console:
    """The query APIs, the way to Kafka and back, the console's own database, the templates."""

    settings: Settings
    apis: Apis
    hub: Hub
    letters: Letters
    bulks: Bulks
    watch: Watch
    store: ConsoleStore
    acts: ActStore
    templates: Jinja2Templates
    aside: Aside = field(default_factory=Aside)
    now: Callable[[], datetime] = utc_now
    doctors: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DOCTORS))
    #: The process is being stopped: streams end.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def console_of(request: Request) -> Console:
    """The console of the running application."""
    return cast("Console", request.app.state.console)
