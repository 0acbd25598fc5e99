"""The console's settings, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from contracts.topics import RECOMMENDATION_LEARNER
from messaging.setting import Choice, Integer, Pattern, Setting, database_url, web_url
from messaging.settings import HTTP_HOST, LOGGING, http_port, identity
from orderctl.settings import SETTINGS as CLIENT
from orderctl.settings import Settings as ClientSettings
from orderctl.settings import load_settings as load_client_settings

DATABASE_URL: Final = database_url("console")
ORIGIN: Final = Pattern(
    "CONSOLE_ORIGIN",
    "",
    r"(https?://[^/\s]+/?)?",
    "`http://` or `https://` and a host, or empty",
    "the address under which browsers know the console, where that is not the one it listens on",
)
SESSION_HOURS: Final = Integer("CONSOLE_SESSION_HOURS", 12, 1, 24 * 30, "how long a log-in holds")
#: What is printed in a container stays in its log: no password belongs there.
FIRST_PASSWORD: Final = Choice(
    "CONSOLE_FIRST_PASSWORD",
    "terminal",
    ("terminal", "stdout"),
    "whom the first start tells admin's one-time password: who sits at a terminal, or stdout wherever that goes (devstack)",
)
WATCHER_URL: Final = web_url("WATCHER_URL", WATCHER_PORT, "where the watcher tells what it saw")
LEARNER_URL: Final = web_url(
    "RECOMMENDATION_LEARNER_URL", HTTP_PORTS[RECOMMENDATION_LEARNER], "where the learner tells whether it is ready"
)
SETTINGS: Final[tuple[Setting, ...]] = (
    *CLIENT,
    DATABASE_URL,
    HTTP_HOST,
    http_port("console"),
    identity("console"),
    ORIGIN,
    SESSION_HOURS,
    FIRST_PASSWORD,
    WATCHER_URL,
    LEARNER_URL,
    *LOGGING,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """`origin`: the address under which browsers know the console, where that is not the one it listens on (behind a proxy);
    `secure`: whether that is https. `tells_password`: the first one goes to stdout, wherever that leads. `client`: where the
    system is."""

    identity: str
    http_host: str
    http_port: int
    database_url: str
    origin: str | None
    session_hours: int
    tells_password: bool
    watcher_url: str
    learner_url: str
    client: ClientSettings

    @property
    def secure(self) -> bool:
        """Whether cookies may travel over https only."""
        return (self.origin or "").startswith("https://")


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """Raises `SettingsError`. It listens on loopback unless told otherwise."""
    return Settings(
        identity=identity("console").read(env),
        http_host=HTTP_HOST.read(env),
        http_port=http_port("console").read(env),
        database_url=DATABASE_URL.read(env),
        origin=ORIGIN.read(env).rstrip("/") or None,
        session_hours=SESSION_HOURS.read(env),
        tells_password=FIRST_PASSWORD.read(env) == "stdout",
        watcher_url=WATCHER_URL.read(env).rstrip("/"),
        learner_url=LEARNER_URL.read(env).rstrip("/"),
        client=load_client_settings(env),
    )
