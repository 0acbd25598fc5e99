"""Notification's own settings."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import getaddresses
from typing import Final

from messaging.errors import SettingsError
from messaging.setting import Choice, Integer, Number, OptionalText, Secret, Setting, Text

SMTP_HOST: Final = Text("SMTP_HOST", "127.0.0.1", "the mail server")
SMTP_PORT: Final = Integer("SMTP_PORT", 1025, 1, 65_535, "its port")
SMTP_TLS: Final = Choice(
    "SMTP_TLS",
    "offered",
    ("offered", "required", "implicit", "off"),
    "TLS to the mail server: where it offers STARTTLS, always by STARTTLS, from the first byte (port 465), or never",
)
SMTP_CA_FILE: Final = OptionalText(
    "SMTP_CA_FILE",
    "who signed the mail server's certificate; without it whoever the machine trusts",
    "a file in PEM form",
)
SMTP_USERNAME: Final = OptionalText(
    "SMTP_USERNAME", "who sends; needs SMTP_PASSWORD, and SMTP_TLS=required or implicit"
)
SMTP_PASSWORD: Final = Secret("SMTP_PASSWORD", "the proof")
MAIL_FROM: Final = Text(
    "MAIL_FROM", "orders@shop.example", "whom the mails are from", "one address, with or without a name before it"
)
SMTP_TIMEOUT_S: Final = Number("SMTP_TIMEOUT_S", 10, 0.1, 300, "how long an attempt to send a mail may take")
SMTP_CONNECTIONS: Final = Integer("SMTP_CONNECTIONS", 4, 1, 64, "how many mails are sent at once")
SETTINGS: Final[tuple[Setting, ...]] = (
    SMTP_HOST,
    SMTP_PORT,
    SMTP_TLS,
    SMTP_CA_FILE,
    SMTP_USERNAME,
    SMTP_PASSWORD,
    MAIL_FROM,
    SMTP_TIMEOUT_S,
    SMTP_CONNECTIONS,
)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Where mails go and from whom. `timeout_s` holds for a whole attempt; each connection sends one mail at a time."""

    smtp_host: str
    smtp_port: int
    mail_from: str
    timeout_s: float
    connections: int
    tls: str = SMTP_TLS.default
    ca_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext | None:
        """What to check the mail server's certificate against; its host name is checked, too."""
        return None if self.tls == "off" else ssl.create_default_context(cafile=self.ca_file)


def load_mail_settings(env: Mapping[str, str] = os.environ) -> MailSettings:
    """The settings from the environment. Raises `SettingsError`."""
    found = MailSettings(
        smtp_host=SMTP_HOST.read(env),
        smtp_port=SMTP_PORT.read(env),
        mail_from=MAIL_FROM.read(env),
        timeout_s=SMTP_TIMEOUT_S.read(env),
        connections=SMTP_CONNECTIONS.read(env),
        tls=SMTP_TLS.read(env),
        ca_file=SMTP_CA_FILE.read(env),
        username=SMTP_USERNAME.read(env),
        password=SMTP_PASSWORD.read(env),
    )
    if not _is_one_address(found.mail_from):
        raise SettingsError(f"{MAIL_FROM.name} must be {MAIL_FROM.allowed}, not {found.mail_from!r}.")
    safe = found.tls in ("required", "implicit")
    if (found.username is None) != (found.password is None) or (found.username is not None and not safe):
        raise SettingsError(
            "SMTP_USERNAME needs SMTP_PASSWORD (or SMTP_PASSWORD_FILE), and SMTP_TLS=required or implicit: nobody else may read it."
        )
    try:
        found.context()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"SMTP_CA_FILE must be a file with certificates in PEM form; {found.ca_file} is not ({type(error).__name__})."
        ) from None
    return found


def _is_one_address(text: str) -> bool:
    found = getaddresses([text])
    name, at, domain = found[0][1].rpartition("@")
    return len(found) == 1 and bool(name and at and domain)
