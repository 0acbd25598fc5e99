"""How to reach the broker and the databases safely: TLS, SASL, and secrets that come from the environment or from files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from messaging.errors import SettingsError

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256")


def secret(env: Mapping[str, str], name: str) -> str | None:
    """`name`, or the content of the file that `<name>_FILE` names; None where neither is set. Raises `SettingsError`, which never
    holds the secret."""
    path = env.get(f"{name}_FILE")
    if not path:
        return env.get(name)
    if env.get(name) is not None:
        raise SettingsError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE names a file that cannot be read: {path} ({type(error).__name__}).") from None


def database_url(env: Mapping[str, str], name: str) -> str:
    """`<NAME>_DATABASE_URL`, or what stands in the file that `<NAME>_DATABASE_URL_FILE` names. TLS as PostgreSQL's own clients
    have it: `?sslmode=verify-full&sslrootcert=FILE`."""
    variable = f"{name.upper()}_DATABASE_URL"
    found = secret(env, variable)
    if found is None:
        return f"postgresql:///{name}"
    if not found.strip():
        raise SettingsError(
            f"{variable} is set but empty: give it a value or unset it (default: postgresql:///{name})."
        )
    return found


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
    protocol = _one_of(env, "KAFKA_SECURITY_PROTOCOL", PROTOCOLS)
    mechanism = _one_of(env, "KAFKA_SASL_MECHANISM", MECHANISMS)
    username, password = env.get("KAFKA_SASL_USERNAME") or None, secret(env, "KAFKA_SASL_PASSWORD") or None
    ca_file = env.get("KAFKA_SSL_CA_FILE") or None
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


def _one_of(env: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    found = env.get(name, known[0]).strip().upper()
    if found not in known:
        raise SettingsError(f"{name} must be one of {', '.join(known)}, not {env[name]!r}.")
    return found
