"""How to reach the broker and the databases safely: TLS, SASL, and secrets that come from the environment or from files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from messaging.errors import SettingsError
from messaging.setting import Choice, OptionalText, Secret, Setting

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256")
PROTOCOL: Final = Choice("KAFKA_SECURITY_PROTOCOL", PROTOCOLS[0], PROTOCOLS, "how to speak with the broker")
MECHANISM: Final = Choice("KAFKA_SASL_MECHANISM", MECHANISMS[0], MECHANISMS, "how to prove who it is")
USERNAME: Final = OptionalText("KAFKA_SASL_USERNAME", "who it is")
PASSWORD: Final = Secret("KAFKA_SASL_PASSWORD", "the proof")
CA_FILE: Final = OptionalText(
    "KAFKA_SSL_CA_FILE",
    "who signed the broker's certificate; without it whoever the machine trusts",
    "a file in PEM form",
)
SETTINGS: Final[tuple[Setting, ...]] = (PROTOCOL, MECHANISM, USERNAME, PASSWORD, CA_FILE)


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """How to speak with the broker. `ca_file`: who signed its certificate; None: whoever the machine trusts."""

    protocol: str = "PLAINTEXT"
    mechanism: str = MECHANISMS[0]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @property
    def uses_tls(self) -> bool:
        """Whether what is said is encrypted."""
        return self.protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether it is said by somebody with a name."""
        return self.protocol.startswith("SASL")

    def context(self) -> ssl.SSLContext | None:
        """What to check the broker's certificate against; its host name is checked, too."""
        return ssl.create_default_context(cafile=self.ca_file) if self.uses_tls else None

    def options(self) -> dict[str, Any]:
        """For aiokafka's clients."""
        found: dict[str, Any] = {}
        if self.protocol != "PLAINTEXT":
            found["security_protocol"] = self.protocol
        if self.uses_tls:
            found["ssl_context"] = self.context()
        if self.uses_sasl:
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return found


def load_kafka_security(env: Mapping[str, str] = os.environ) -> KafkaSecurity:
    """`KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_*` and `KAFKA_SSL_CA_FILE`. Raises `SettingsError`."""
    protocol, mechanism = PROTOCOL.read(env), MECHANISM.read(env)
    username, password, ca_file = USERNAME.read(env), PASSWORD.read(env), CA_FILE.read(env)
    found = KafkaSecurity(protocol, mechanism, username, password, ca_file)
    if found.uses_sasl and (username is None or password is None):
        raise SettingsError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE)."
        )
    try:
        found.context()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"KAFKA_SSL_CA_FILE must be a file with certificates in PEM form; {ca_file} is not ({type(error).__name__})."
        ) from None
    return found
