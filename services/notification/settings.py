"""Notification's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from messaging.settings import integer, number, text


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
        smtp_host=text(env, "SMTP_HOST", "127.0.0.1"),
        smtp_port=integer(env, "SMTP_PORT", 1025, 1, 65535),
        mail_from=text(env, "MAIL_FROM", "orders@shop.example"),
        timeout_s=number(env, "SMTP_TIMEOUT_S", 10, 0.1, 300),
        connections=integer(env, "SMTP_CONNECTIONS", 4, 1, 64),
    )
