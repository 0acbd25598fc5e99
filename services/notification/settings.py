"""Notification's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from messaging.setting import Integer, Number, Setting, Text

SMTP_HOST: Final = Text("SMTP_HOST", "127.0.0.1", "the mail server")
SMTP_PORT: Final = Integer("SMTP_PORT", 1025, 1, 65_535, "its port")
MAIL_FROM: Final = Text("MAIL_FROM", "orders@shop.example", "whom the mails are from")
SMTP_TIMEOUT_S: Final = Number("SMTP_TIMEOUT_S", 10, 0.1, 300, "how long an attempt to send a mail may take")
SMTP_CONNECTIONS: Final = Integer("SMTP_CONNECTIONS", 4, 1, 64, "how many mails are sent at once")
SETTINGS: Final[tuple[Setting, ...]] = (SMTP_HOST, SMTP_PORT, MAIL_FROM, SMTP_TIMEOUT_S, SMTP_CONNECTIONS)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Where mails go and from whom. `timeout_s` holds for a whole attempt; each connection sends one mail at a time."""

    smtp_host: str
    smtp_port: int
    mail_from: str
    timeout_s: float
    connections: int


def load_mail_settings(env: Mapping[str, str] = os.environ) -> MailSettings:
    """The settings from the environment. Raises `SettingsError`."""
    return MailSettings(
        smtp_host=SMTP_HOST.read(env),
        smtp_port=SMTP_PORT.read(env),
        mail_from=MAIL_FROM.read(env),
        timeout_s=SMTP_TIMEOUT_S.read(env),
        connections=SMTP_CONNECTIONS.read(env),
    )
