"""Where a stack lives and on which ports, told by the environment alone."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from contracts.topics import DEFAULT_PARTITIONS
from devstack.errors import DevstackError

CLONE: Final = Path(__file__).resolve().parent.parent
LOOPBACK: Final = "127.0.0.1"
KAFKA_PORT: Final = 9092
CONTROLLER_PORT: Final = 9093
SMTP_PORT: Final = 1025
MAIL_PAGE_PORT: Final = 8025
POSTGRES_PORT: Final = 5432  # names the socket file; nothing listens on TCP

#: One database and one role of the same name each.
DATABASES: Final = (
    "orders",
    "inventory",
    "payment",
    "gateway",
    "customer",
    "notification",
    "recommendation",
    "console",
)

#: Unix sockets have room for about 104 bytes on some systems; `.s.PGSQL.5432` and a margin have to fit too.
_LONGEST_SOCKET_FOLDER: Final = 80


def database_variable(name: str) -> str:
    """The environment variable that holds the DSN of this database."""
    return f"{name.upper()}_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Listener:
    """One more way into the broker: a port, and the port that whoever comes that way is told to come back to."""

    name: str
    port: int
    advertised_port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """A stack: its folder, its ports, and which broker and databases it uses instead of its own."""

    home: Path
    offset: int = 0
    partitions: int = DEFAULT_PARTITIONS
    external_bootstrap: str | None = None
    external_databases: Mapping[str, str] = field(default_factory=dict)
    postgres_bin: Path | None = None
    listeners: tuple[Listener, ...] = ()
    #: A process that ran for so long before it died is started again at once.
    healthy_s: float = 30.0

    @property
    def bootstrap(self) -> str:
        """Where clients find the broker."""
        return self.external_bootstrap or f"{LOOPBACK}:{KAFKA_PORT + self.offset}"

    @property
    def runs_kafka(self) -> bool:
        """Whether the stack has a broker of its own."""
        return self.external_bootstrap is None

    @property
    def runs_postgres(self) -> bool:
        """Whether at least one database has to be the stack's own."""
        return any(name not in self.external_databases for name in DATABASES)

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.home / "logs"

    @property
    def mails(self) -> Path:
        """Where the SMTP sink keeps what it was sent."""
        return self.home / "mails"

    @property
    def smtp_port(self) -> int:
        """Where the SMTP sink listens."""
        return SMTP_PORT + self.offset

    @property
    def mail_page_port(self) -> int:
        """Where the SMTP sink shows what it was sent."""
        return MAIL_PAGE_PORT + self.offset

    @property
    def mail_page_url(self) -> str:
        """The same, for a browser."""
        return f"http://{LOOPBACK}:{self.mail_page_port}"

    @property
    def sockets(self) -> Path:
        """A folder for Unix sockets: in the home, or among the temporary files where the home's path is too long, or where
        root's folders are closed to the user that PostgreSQL has to run as."""
        inside = self.home / "run"
        long = len(os.fsencode(inside / "postgres")) > _LONGEST_SOCKET_FOLDER
        closed = os.geteuid() == 0 and not open_to_others(self.home)
        return private_folder(self.home) if long or closed else inside

    def http_port(self, name: str) -> int:
        """The port on which this process serves HTTP."""
        return (WATCHER_PORT if name == "watcher" else HTTP_PORTS[name]) + self.offset

    def http_url(self, name: str) -> str:
        """Where this process serves HTTP."""
        return f"http://{LOOPBACK}:{self.http_port(name)}"

    def dsn(self, database: str) -> str:
        """How to connect to this database with its own role."""
        external = self.external_databases.get(database)
        return external or self.own_dsn(database, database)

    def own_dsn(self, role: str, database: str) -> str:
        """How to connect to a database of the stack's own PostgreSQL."""
        return f"postgresql://{role}@/{database}?host={self.sockets / 'postgres'}&port={POSTGRES_PORT}"


def private_folder(home: Path) -> Path:
    """A folder among the temporary files that belongs to this home and to nobody else."""
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"devstack-{os.getuid()}-{digest}"


def open_to_others(path: Path) -> bool:
    """Whether any user can get at this path, by the mode of the folders above it."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents if parent.exists())


def make_home(settings: Settings) -> None:
    """Make the stack's folders. Raises `DevstackError`."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        mode = settings.home.stat().st_mode
        if os.geteuid() == 0 and not mode & stat.S_IXOTH:
            # PostgreSQL's user has to get through, whatever root's umask.
            settings.home.chmod(stat.S_IMODE(mode) | stat.S_IXGRP | stat.S_IXOTH)
        settings.logs.mkdir(exist_ok=True)
        make_private(settings.sockets)
    except OSError as error:
        raise DevstackError(
            f"{settings.home} cannot be used: {error.strerror}. Set DEVSTACK_HOME to a folder of yours."
        ) from None


def make_private(folder: Path, mode: int = 0o711) -> Path:
    """Make the folder. Refuses one that somebody else put there first: names among the temporary files can be guessed."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise DevstackError(f"{folder} belongs to somebody else; remove it, or set TMPDIR to a folder of your own.")
    folder.chmod(mode)
    return folder


def read_settings(
    environment: Mapping[str, str] | None = None, home: Path | None = None, offset: int | None = None
) -> Settings:
    """The settings that the environment tells; `home` and `offset` win over it. Where neither tells an offset it is the one that
    the stack in this folder was made with. Raises `DevstackError`."""
    env = os.environ if environment is None else environment
    chosen_home = home or Path(env.get("DEVSTACK_HOME") or CLONE / ".devstack")
    if offset is None:
        offset = _number(env, "DEVSTACK_PORT_OFFSET", kept_offset(chosen_home), -1000, 50_000)
    postgres_bin = env.get("DEVSTACK_POSTGRES_BIN")
    own = Settings(
        home=chosen_home.expanduser().resolve(),
        offset=offset,
        partitions=_number(env, "TOPIC_PARTITIONS", DEFAULT_PARTITIONS, 1, 10_000),
        postgres_bin=Path(postgres_bin).expanduser() if postgres_bin else None,
        healthy_s=_number(env, "DEVSTACK_HEALTHY_S", 30, 0, 3_600),
    )
    bootstrap = env.get("KAFKA_BOOTSTRAP_SERVERS") or None
    databases = {name: env[key] for name in DATABASES if env.get(key := database_variable(name))}
    if env.get("DEVSTACK_HOME"):
        # A shell that evaluated `devstack env` names this very stack; that does not make the stack somebody else's.
        bootstrap = None if bootstrap == own.bootstrap else bootstrap
        databases = {name: dsn for name, dsn in databases.items() if dsn != own.dsn(name)}
    return replace(own, external_bootstrap=bootstrap, external_databases=databases)


def offset_file(home: Path) -> Path:
    """Where a stack's folder says with which offset its broker was made, which cannot change."""
    return home / "kafka" / "port-offset"


def kept_offset(home: Path) -> int:
    """The offset of the stack in this folder; 0 where there is none."""
    kept = offset_file(home.expanduser())
    return int(kept.read_text()) if kept.is_file() else 0


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise DevstackError(f"{name} is {text!r}; it must be a whole number from {least} to {most}.")
    return number
