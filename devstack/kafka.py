"""A broker of our own: Apache Kafka as one combined KRaft node on loopback."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError
from devstack.processes import ProcessSpec
from devstack.progress import Report
from devstack.settings import CONTROLLER_PORT, KAFKA_PORT, LOOPBACK, Settings, offset_file

# A broker that lives for minutes on two cores never earns back what the optimizing compiler costs: in the first minutes that
# took more of them than all requests together.
_JVM: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: A broker and its controller in one node, without waiting for a second one, and back soon after a kill.
ONE_NODE: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill the broker is let in again when its old registration has timed out.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "2",
}
_LOG_CONFIG: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


def kafka_process(settings: Settings, java: str, jars: Path, classes: Path | None, report: Report) -> ProcessSpec:
    """The broker as a process; its folder is formatted if it is new. `classes`: see `devstack.classes`. Raises `DevstackError`."""
    home = settings.home / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    _keep_offset(settings)
    config = home / "server.properties"
    config.write_text(server_properties(settings, home / "data"))
    log_config = home / "log4j2.properties"
    log_config.write_text(_LOG_CONFIG)
    shared = () if classes is None else (f"-XX:SharedArchiveFile={classes}",)
    # One by one: Java takes prepared classes only for a class path that is spelt as it was when they were prepared.
    class_path = ":".join(str(jar) for jar in sorted(jars.iterdir()))
    program = (java, *_JVM, *shared, f"-Dlog4j2.configurationFile={log_config}", "-cp", class_path)
    if not (home / "data" / "meta.properties").exists():
        report("Formatting the broker's folder")
        _format(program, config, home / "data")
    address = f"{LOOPBACK}:{KAFKA_PORT + settings.offset}"
    return ProcessSpec(
        name="kafka", argv=(*program, "kafka.Kafka", str(config)), address=address, probe="tcp", target=address
    )


def server_properties(settings: Settings, data: Path) -> str:
    """The broker's configuration."""
    broker = f"{LOOPBACK}:{KAFKA_PORT + settings.offset}"
    controller = f"{LOOPBACK}:{CONTROLLER_PORT + settings.offset}"
    own = f"PLAINTEXT://{broker},CONTROLLER://{controller}"
    more = settings.listeners
    names = ("PLAINTEXT", "CONTROLLER", *(listener.name for listener in more))
    values = {
        "listeners": ",".join((own, *(f"{one.name}://{LOOPBACK}:{one.port}" for one in more))),
        "advertised.listeners": ",".join((own, *(f"{one.name}://{LOOPBACK}:{one.advertised_port}" for one in more))),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        **{f"listener.name.{one.name.lower()}.num.network.threads": "1" for one in more},
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(data),
        **ONE_NODE,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _keep_offset(settings: Settings) -> None:
    """The node's own address stands in its metadata log for ever, so the ports of a folder cannot change."""
    kept = offset_file(settings.home)
    if not kept.exists():
        kept.write_text(str(settings.offset))
    elif int(kept.read_text()) != settings.offset:
        raise DevstackError(
            f"The broker in {kept.parent} was made with DEVSTACK_PORT_OFFSET={kept.read_text()}, not {settings.offset}. "
            "Use that offset, another DEVSTACK_HOME, or `down --wipe` first."
        )


def new_cluster_id() -> str:
    """A cluster id as Kafka writes it. Never one with a dash in front: the format tool takes that for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _format(program: tuple[str, ...], config: Path, data: Path) -> None:
    cluster_id = new_cluster_id()
    # A format that was interrupted leaves a folder that the broker refuses.
    shutil.rmtree(data, ignore_errors=True)
    tool = [*program, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(config)]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise DevstackError(f"The broker's folder could not be formatted: {(done.stdout + done.stderr).strip()[-600:]}")
