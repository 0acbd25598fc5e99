"""A PostgreSQL that takes nobody without TLS and a password: the addresses that docs/operations.md names, and new passwords."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import trustme
from waiting import until
from workbench import free_port

from provision.databases import ensure_schemas
from provision.errors import ProvisionError

PASSWORD = "first"
#: Payment's two databases.
SPREAD = ("payment_1", "payment_2")
#: The wheel's server is built without TLS ("SSL is not supported by this build"); Debian's has it.
PROGRAMS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
HBA = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject\n"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is; `ca` signed its certificate, which says `localhost`."""

    port: int
    folder: Path
    ca: Path
    authority: trustme.CA

    def url(
        self, *, password: str = PASSWORD, host: str = "localhost", mode: str = "verify-full", ca: Path | None = None
    ) -> str:
        trust = f"&sslrootcert={ca or self.ca}" if mode.startswith("verify") else ""
        return f"postgresql://orders:{password}@{host}:{self.port}/orders?sslmode={mode}{trust}"

    def url_of(self, role: str, database: str) -> str:
        """Another database, for its role."""
        return self.url().replace("//orders:", f"//{role}:").replace("/orders?", f"/{database}?")

    async def show(self, certificate: trustme.LeafCert) -> None:
        """Another certificate, for whoever connects from now on."""
        certificate.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "server.pem"))
        await self.run("SELECT pg_reload_conf()")

    async def run(self, *statements: str) -> None:
        """As the superuser, over its socket."""
        connection = await asyncpg.connect(host=str(self.folder), port=self.port, user="postgres", database="postgres")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


def unprivileged() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    bin_folder = next((folder for folder in PROGRAMS if (folder / "postgres").exists()), None)
    if bin_folder is None:
        pytest.skip("no PostgreSQL with TLS here: the wheel's is built without (Debian: apt-get install postgresql)")
    # Below pytest's own folders nobody else can read.
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    user, data = unprivileged(), folder / "data"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    if user is not None:
        for path in (folder, folder / "server.pem"):
            shutil.chown(path, user)
    (folder / "server.pem").chmod(0o600)
    folder.chmod(0o755)
    initdb = [str(bin_folder / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=120, user=user, cwd=folder)
    (data / "pg_hba.conf").write_text(HBA)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "ssl": "on"}
    told |= {"ssl_cert_file": folder / "server.pem", "ssl_key_file": folder / "server.pem", "fsync": "off"}
    flags = [part for name, value in told.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        argv = [str(bin_folder / "postgres"), "-D", str(data), *flags]
        process = subprocess.Popen(argv, stdout=log, stderr=log, user=user, cwd=folder)
    found = Server(port, folder, folder / "ca.pem", authority)

    async def prepare() -> None:
        async def answers() -> bool:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await found.run("SELECT 1")
                return True
            return False

        await until(answers, (folder / "log").read_text)
        await found.run(
            f"CREATE ROLE payment LOGIN PASSWORD '{PASSWORD}'",
            *(f"CREATE DATABASE {name} OWNER payment" for name in (*SPREAD, "gateway")),
        )
        await found.run(f"CREATE ROLE orders LOGIN PASSWORD '{PASSWORD}'", "CREATE DATABASE orders OWNER orders")
        await ensure_schemas({"orders": (found.url(),)})

    try:
        asyncio.run(prepare())
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder)


async def test_the_schema_was_made_over_tls_and_again_is_up_to_date(server: Server) -> None:
    assert await ensure_schemas({"orders": (server.url(),)}) == {"orders": []}
    connection = await asyncpg.connect(server.url())
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()


@pytest.mark.parametrize("wrong", ["another authority", "another host name", "no tls", "another password"])
async def test_a_server_that_is_not_the_right_one_and_a_wire_that_is_not_safe_are_refused(
    server: Server, tmp_path: Path, wrong: str
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    url = {
        "another authority": server.url(ca=tmp_path / "other.pem"),
        "another host name": server.url(host="127.0.0.1"),
        "no tls": server.url(mode="disable"),
        "another password": server.url(password="wrong"),
    }[wrong]
    with pytest.raises(ProvisionError) as refused:
        await ensure_schemas({"orders": (url,)})
    assert PASSWORD not in str(refused.value)
    assert "wrong@" not in str(refused.value)


@dataclass(frozen=True, slots=True)
class Api:
    """The orders API as a process of its own; where its database is, it reads from a file."""

    port: int
    log: Path

    async def status(self, path: str) -> int:
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status
        return 0

    async def ready(self) -> bool:
        return await self.status("/readyz") == 200


@contextlib.asynccontextmanager
async def orders_api(secret: Path, folder: Path) -> AsyncIterator[Api]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if name != "ORDERS_DATABASE_URL"}
    env |= {"ORDERS_DATABASE_URL_FILE": str(secret), "HTTP_PORT": str(port)}
    path = folder / f"api-{port}.log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.orders.api", env=env, stdout=log, stderr=log
        )
    try:
        yield Api(port, path)
    finally:
        # One that the database did not let in has ended by itself.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_a_password_is_changed_under_a_running_process_and_the_next_one_takes_the_new_one(
    server: Server, tmp_path: Path
) -> None:
    secret = tmp_path / "url"
    secret.write_text(server.url())
    try:
        async with orders_api(secret, tmp_path) as old:
            await until(old.ready, old.log.read_text)
            await server.run("ALTER ROLE orders PASSWORD 'second'")
            # What is open stays open.
            assert await old.status("/orders") == 200
            assert await old.ready()
            async with orders_api(secret, tmp_path) as late:
                await until(
                    lambda: "password authentication failed" in late.log.read_text() or None, late.log.read_text
                )
                assert not await late.ready()
            secret.write_text(server.url(password="second"))
            async with orders_api(secret, tmp_path) as new:
                await until(new.ready, new.log.read_text)
                assert await new.status("/orders") == 200
            told = "".join(one.log.read_text() for one in (old, late, new))
    finally:
        # The server is the other tests' too: whatever fails here is not to fail them as well.
        await server.run(f"ALTER ROLE orders PASSWORD '{PASSWORD}'")
    assert f":{PASSWORD}@" not in told
    assert ":second@" not in told


async def test_the_servers_certificate_is_exchanged_for_another_authoritys_under_a_process_that_trusts_both(
    server: Server, tmp_path: Path
) -> None:
    authority, new, trusted = trustme.CA(), tmp_path / "new.pem", tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(str(new))
    trusted.write_bytes(server.ca.read_bytes())
    secret = tmp_path / "url"
    secret.write_text(server.url(ca=trusted))

    async def lets_in(ca: Path) -> bool:
        try:
            connection = await asyncpg.connect(server.url(ca=ca))
        except ssl.SSLCertVerificationError:
            return False
        await connection.close()
        return True

    async with orders_api(secret, tmp_path) as running:
        await until(running.ready, running.log.read_text)
        # The file is read whenever it connects: the process need not be started again.
        trusted.write_bytes(server.ca.read_bytes() + new.read_bytes())
        try:
            await server.show(authority.issue_cert("localhost"))
            await until(lambda: lets_in(new), "the server shows its new certificate")
            assert not await lets_in(server.ca)
            assert await running.status("/orders") == 200
            await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders'")

            async def answers() -> bool:
                return await running.status("/orders") == 200

            await until(answers, running.log.read_text)
            connected = await lets_in(trusted)
        finally:
            await server.show(server.authority.issue_cert("localhost"))
            await until(lambda: lets_in(server.ca), "the server shows a certificate of the first authority again")
    assert connected


async def test_a_service_whose_partitions_are_spread_over_two_databases_reaches_both_and_the_gateways_over_tls(
    server: Server, kafka: str, tmp_path: Path
) -> None:
    urls, gateway = [server.url_of("payment", name) for name in SPREAD], server.url_of("payment", "gateway")
    made = await ensure_schemas({"payment": tuple(urls), "gateway": (gateway,)})
    assert all(made.values())
    secret, port, log = tmp_path / "urls", free_port(), tmp_path / "payment.log"
    secret.write_text(" ".join(urls) + "\n")
    env = {name: value for name, value in os.environ.items() if name != "PAYMENT_DATABASE_URL"}
    env |= {"KAFKA_BOOTSTRAP_SERVERS": kafka, "ORDER_TASK_QUEUE": f"tls-{port}", "HTTP_PORT": str(port)}
    env |= {"PAYMENT_DATABASE_URL_FILE": str(secret), "GATEWAY_DATABASE_URL": gateway, "LOG_LEVEL": "DEBUG"}
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.payment", env=env, stdout=told, stderr=told
        )
    try:
        await until(Api(port, log).ready, log.read_text)
        owners = {}
        for number, name in enumerate(SPREAD):
            connection = await asyncpg.connect(server.url_of("payment", name))
            rows = await connection.fetch("SELECT partition FROM partition_ownership WHERE epoch > 0")
            owners[number] = {row["partition"] for row in rows}
            await connection.close()
        assert owners == {0: {0, 2}, 1: {1, 3}}
        assert await Api(port, log).status("/gateway/entries?order_id=nobody") == 200
        connection = await asyncpg.connect(host=str(server.folder), port=server.port, user="postgres")
        rows = await connection.fetch(
            "SELECT datname, bool_and(ssl) AS safe FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE usename = 'payment' GROUP BY 1"
        )
        await connection.close()
        assert {row["datname"]: row["safe"] for row in rows} == dict.fromkeys((*SPREAD, "gateway"), True)
    finally:
        process.terminate()
        await process.wait()
    assert f":{PASSWORD}@" not in log.read_text()
