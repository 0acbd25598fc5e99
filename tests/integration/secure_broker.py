"""A broker that lets in only who has a name and a password, over TLS, and lets everybody do only what an ACL allows."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import trustme
from cryptography.hazmat.primitives import serialization

from devstack.jars import ensure_jars
from devstack.java import find_java
from devstack.kafka import ONE_NODE, new_cluster_id
from devstack.ports import free_offset
from devstack.settings import CONTROLLER_PORT, KAFKA_PORT

ADMIN: Final = "admin"
NODE: Final = ONE_NODE["node.id"]


@dataclass(frozen=True, slots=True)
class SecureBroker:
    """Where it is, who signed its certificate, and everybody's password (their name, twice)."""

    bootstrap: str
    ca_file: Path
    authority: trustme.CA

    def settings(self, name: str, password: str | None = None) -> dict[str, str]:
        """What a process of this principal is told."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": name,
            "KAFKA_SASL_PASSWORD": password or name * 2,
            "KAFKA_SSL_CA_FILE": str(self.ca_file),
        }


def certificate(authority: trustme.CA) -> trustme.LeafCert:
    """For the broker. A running one takes none that is another's: names and hosts have to be the same."""
    return authority.issue_cert(
        "localhost", common_name="localhost", organization_name="shop", organization_unit_name="kafka"
    )


def _for_java(certificate: trustme.LeafCert) -> bytes:
    """The key as PKCS 8, the only form that Java reads, and the certificate."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    plain = serialization.NoEncryption()
    found = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return found + b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


async def change_password(broker: SecureBroker, folder: Path, name: str, password: str) -> None:
    """Another password for a principal."""
    await _alter(broker, folder, "users", name, f"SCRAM-SHA-512=[password={password}]")


async def exchange_certificate(broker: SecureBroker, folder: Path, authority: trustme.CA, trusted: Path) -> None:
    """Have the running broker trust these authorities, and then show a certificate of that one."""
    shown = trusted.with_name(f"server-{uuid4().hex}.pem")
    shown.write_bytes(_for_java(certificate(authority)))
    for store, path in (("truststore", trusted), ("keystore", shown)):
        await _alter(broker, folder, "brokers", NODE, f"listener.name.sasl_ssl.ssl.{store}.location={path}")


async def _alter(broker: SecureBroker, folder: Path, kind: str, name: str, config: str) -> None:
    """As `kafka-configs.sh` does it, which is this program."""
    login = (
        f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{ADMIN * 2}";'
    )
    told = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": login,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(broker.ca_file),
    }
    path = folder / "admin.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
    program = [find_java(print), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", str(ensure_jars(print) / "*")]
    program += ["kafka.admin.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--command-config", str(path)]
    program += ["--alter", "--entity-type", kind, "--entity-name", name, "--add-config", config]
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(said.decode())


@contextmanager
def secure_broker(folder: Path, principals: Iterable[str]) -> Iterator[SecureBroker]:
    """The broker; it knows these principals and an admin, who may do everything."""
    offset = free_offset()
    address, controller = f"localhost:{KAFKA_PORT + offset}", f"localhost:{CONTROLLER_PORT + offset}"
    authority, ca_file = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    (folder / "server.pem").write_bytes(_for_java(certificate(authority)))
    jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    values = {
        **ONE_NODE,
        "listeners": f"SASL_SSL://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"SASL_SSL://{address},CONTROLLER://{controller}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(folder / "data"),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca_file),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": jaas[:-1]
        + f' username="{ADMIN}" password="{ADMIN * 2}";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Nobody without a name gets in but the node itself, on its controller's own port.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
    }
    config = folder / "server.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    program = [find_java(print), "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", str(ensure_jars(print) / "*")]
    users = [f"SCRAM-SHA-512=[name={name},password={name * 2}]" for name in (ADMIN, *principals)]
    format_ = [*program, "kafka.tools.StorageTool", "format", "--standalone", "-t", new_cluster_id(), "-c", str(config)]
    for user in users:
        format_ += ["--add-scram", user]
    subprocess.run(format_, check=True, capture_output=True, timeout=120)
    with (folder / "kafka.log").open("wb") as log:
        process = subprocess.Popen([*program, "kafka.Kafka", str(config)], stdout=log, stderr=subprocess.STDOUT)
    try:
        yield SecureBroker(address, ca_file, authority)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
