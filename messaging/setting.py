"""One setting of a process: its name, its default, what it may be and what it means, in one place, for who reads it from the
environment and for the documents (docs/operations.md is made from it).

A bad value is refused with the name and what is allowed, and is never repeated where it may hold a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from messaging.errors import SettingsError

_WEB: Final = ("http", "https")
_DATABASES: Final = ("postgresql", "postgres")


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


class Setting(Protocol):
    """What the documents tell of each kind."""

    @property
    def name(self) -> str:
        """The environment variable."""

    @property
    def meaning(self) -> str:
        """What it is for."""

    @property
    def allowed(self) -> str:
        """What it may be."""

    @property
    def usual(self) -> str:
        """The default, as one would write it; empty where there is none."""

    def read(self, env: Mapping[str, str]) -> object:
        """Its value. Raises `SettingsError`."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text but the empty one."""

    name: str
    default: str
    meaning: str
    allowed: str = "any text but the empty one"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return self.default

    def read(self, env: Mapping[str, str]) -> str:
        """See `Setting`."""
        value = env.get(self.name, self.default)
        if not value.strip():
            raise SettingsError(f"{self.name} is set but empty: it must be {self.allowed} (default: {self.default}).")
        return value


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text of a certain form, which `allowed` tells in words."""

    name: str
    default: str
    pattern: str
    allowed: str
    meaning: str

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return self.default

    def read(self, env: Mapping[str, str]) -> str:
        """See `Setting`."""
        value = env.get(self.name, self.default)
        if re.fullmatch(self.pattern, value) is None:
            raise SettingsError(f"{self.name} must be {self.allowed}, not {value!r}.")
        return value


@dataclass(frozen=True, slots=True)
class OptionalText:
    """Any text; the empty one, as without it, means that there is none."""

    name: str
    meaning: str
    allowed: str = "any text, or empty"
    usual: str = ""

    def read(self, env: Mapping[str, str]) -> str | None:
        """See `Setting`."""
        return env.get(self.name) or None


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never repeated, and may stand in the file that `<name>_FILE` names; empty: there is none."""

    name: str
    meaning: str
    allowed: str = "any text, or empty"
    usual: str = ""

    def read(self, env: Mapping[str, str]) -> str | None:
        """See `Setting`."""
        return secret(env, self.name) or None


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number between two bounds."""

    name: str
    default: int
    least: int
    most: int
    meaning: str

    @property
    def allowed(self) -> str:
        """See `Setting`."""
        return f"a whole number from {self.least} to {self.most}"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return str(self.default)

    def read(self, env: Mapping[str, str]) -> int:
        """See `Setting`."""
        raw = env.get(self.name)
        if raw is None:
            return self.default
        try:
            value = int(raw)
        except ValueError:
            value = self.least - 1
        if not self.least <= value <= self.most:
            raise SettingsError(f"{self.name} must be {self.allowed}, not {raw!r}.")
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds."""

    name: str
    default: float
    least: float
    most: float
    meaning: str

    @property
    def allowed(self) -> str:
        """See `Setting`."""
        return f"a number from {self.least:g} to {self.most:g}"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return f"{self.default:g}"

    def read(self, env: Mapping[str, str]) -> float:
        """See `Setting`."""
        raw = env.get(self.name)
        if raw is None:
            return self.default
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not self.least <= value <= self.most:
            raise SettingsError(f"{self.name} must be {self.allowed}, not {raw!r}.")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, however they are spelled."""

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str

    @property
    def allowed(self) -> str:
        """See `Setting`."""
        return f"one of {', '.join(self.choices)}"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return self.default

    def read(self, env: Mapping[str, str]) -> str:
        """See `Setting`."""
        raw = env.get(self.name, self.default)
        found = next((choice for choice in self.choices if choice.lower() == raw.strip().lower()), None)
        if found is None:
            raise SettingsError(f"{self.name} must be {self.allowed}, not {raw!r}.")
        return found


@dataclass(frozen=True, slots=True)
class Servers:
    """Brokers: `host:port`, several separated by commas."""

    name: str
    default: str
    meaning: str
    allowed: str = "`host:port`, several separated by commas"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return self.default

    def read(self, env: Mapping[str, str]) -> str:
        """See `Setting`."""
        raw = env.get(self.name, self.default)
        for server in raw.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65_536:
                raise SettingsError(f"{self.name} must be {self.allowed} (default: {self.default}), not {raw!r}.")
        return raw


@dataclass(frozen=True, slots=True)
class Url:
    """An address; `schemes` are what it may begin with. It may hold a password: it is not repeated, and may stand in a file."""

    name: str
    default: str
    schemes: tuple[str, ...]
    meaning: str

    @property
    def allowed(self) -> str:
        """See `Setting`."""
        return f"an address that begins with {' or '.join(f'`{scheme}://`' for scheme in self.schemes)}"

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return self.default

    def read(self, env: Mapping[str, str]) -> str:
        """See `Setting`."""
        found = secret(env, self.name)
        value = self.default if found is None else found
        if not _is_address(value, self.schemes):
            raise SettingsError(f"{self.name} must be {self.allowed}.")
        return value


@dataclass(frozen=True, slots=True)
class OptionalUrl:
    """The address of a web server, or none."""

    name: str
    meaning: str
    allowed: str = "an address that begins with `http://` or `https://`, or empty"
    usual: str = ""

    def read(self, env: Mapping[str, str]) -> str | None:
        """See `Setting`."""
        value = env.get(self.name, "").strip().rstrip("/")
        if value and not _is_address(value, _WEB):
            raise SettingsError(f"{self.name} must be {self.allowed}.")
        return value or None


@dataclass(frozen=True, slots=True)
class OptionalUrls:
    """Addresses of web servers, or none."""

    name: str
    meaning: str
    allowed: str = "addresses that begin with `http://` or `https://`, separated by commas, or empty"
    usual: str = ""

    def read(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """See `Setting`."""
        told = tuple(part.strip().rstrip("/") for part in env.get(self.name, "").split(",") if part.strip())
        if not all(_is_address(part, _WEB) for part in told):
            raise SettingsError(f"{self.name} must be {self.allowed}.")
        return told


def web_url(name: str, port: int, meaning: str) -> Url:
    """Where a process of ours answers; by default on its own port of this machine."""
    return Url(name, f"http://127.0.0.1:{port}", _WEB, meaning)


def database_url(service: str, meaning: str = "the service's own database") -> Url:
    """`<SERVICE>_DATABASE_URL`."""
    return Url(f"{service.upper()}_DATABASE_URL", f"postgresql:///{service}", _DATABASES, meaning)


def is_database(value: str) -> bool:
    """Whether this can be the address of a database."""
    return _is_address(value, _DATABASES)


def _is_address(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        if parts.scheme not in schemes or "://" not in value:
            return False
        if schemes == _WEB:
            return bool(parts.hostname) and parts.port != 0
        # PostgreSQL's may name no host, or several with a port each.
        return bool(parts.netloc or parts.path.strip("/"))
    except ValueError:
        return False
