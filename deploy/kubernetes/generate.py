"""What of the manifests follows from the code: Strimzi's topics and users, how each process proves who it is, and KEDA's scalers.
`python deploy/kubernetes/generate.py` writes them anew; a test shows that they are current."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from contracts.ports import HTTP_PORTS
from contracts.topics import DEFAULT_PARTITIONS, SUBSCRIPTIONS
from messaging.settings import TASK_QUEUE
from provision.access import Acl, acls, load_policy
from provision.topic_settings import TopicSettings

COMPONENTS: Final = Path(__file__).with_name("components")
BEGIN: Final = "# Made by deploy/kubernetes/generate.py.\n"
#: The Kafka resource of Strimzi that topics and users belong to.
CLUSTER: Final = "kafka"
#: Three brokers: any one of them may be away.
TOPICS: Final = TopicSettings(replicas=3, min_insync=2)
CA_FOLDER: Final = "/etc/kafka-ca"
#: Who speaks with the broker and stands in no policy: the job looks whether the topics are as they should be, KEDA asks for lag.
PROVISION: Final = (
    Acl("provision", "describe", "topic", "*"),
    Acl("provision", "describeConfigs", "topic", "*"),
)
KEDA: Final = "keda"
#: What one process should have caught up with after this long is no reason for another. A process that dies has its partitions
#: stand still for 6 s (`KAFKA_SESSION_TIMEOUT_MS`) and a second more, and Kafka hears of progress once a second: less is no news.
CATCH_UP_S: Final = 10
#: CPU of a process for an order, by docs/scaling.md. What that run did not ask, customer and recommendation, is taken to be as dear
#: as inventory, which does the most for a single record.
CPU_MS: Final = {"orders": 1.99, "inventory": 0.83, "payment": 0.74, "notification": 1.49}
CPU_MS_UNKNOWN: Final = CPU_MS["inventory"]
#: What an order brings onto a topic in that run, where it is more than a record.
RECORDS: Final = {"orders.commands.v1": 2, "orders.events.v1": 7, "inventory.events.v1": 2}
LEAST_REPLICAS: Final = 2

Manifest = dict[str, Any]


def topics() -> Iterator[Manifest]:
    """A KafkaTopic for each topic of the contracts."""
    for spec in TOPICS.specs(DEFAULT_PARTITIONS):
        asked = {
            "partitions": spec.partitions,
            "replicas": TOPICS.replicas,
            "config": dict(sorted(spec.config.items())),
        }
        yield _strimzi("KafkaTopic", spec.name, asked)


def users() -> Iterator[Manifest]:
    """A KafkaUser for each principal of `provision/access.toml` that has to do with the broker, for the job and for KEDA."""
    everybody = [*acls(load_policy(), TASK_QUEUE.default), *PROVISION, *_for_keda()]
    for name, found in groupby(everybody, key=lambda acl: acl.principal):
        rules = {"type": "simple", "acls": list(_rules(found))}
        yield _strimzi("KafkaUser", name, {"authentication": {"type": "scram-sha-512"}, "authorization": rules})


def _for_keda() -> Iterator[Acl]:
    for topic in sorted({topic for read in SUBSCRIPTIONS.values() for topic in read}):
        yield Acl(KEDA, "describe", "topic", topic)
    for service in SUBSCRIPTIONS:
        yield Acl(KEDA, "describe", "group", f"{TASK_QUEUE.default}.{service}")


def _rules(found: Iterable[Acl]) -> Iterator[Manifest]:
    """Strimzi wants what is allowed on one thing in one place."""
    told: dict[tuple[str, str], list[str]] = {}
    for acl in found:
        told.setdefault((acl.kind, acl.name), []).append(acl.operation[0].upper() + acl.operation[1:])
    for (kind, name), operations in told.items():
        resource = {"type": kind} if kind == "cluster" else {"type": kind, "name": name, "patternType": "literal"}
        yield {"resource": resource, "operations": operations}


def _strimzi(kind: str, name: str, spec: Mapping[str, Any]) -> Manifest:
    labels = {"strimzi.io/cluster": CLUSTER}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": dict(spec),
    }


def clients() -> Iterator[Manifest]:
    """For each process that speaks with the broker: its name, its password, and whom it trusts. The orders API does not."""
    for name in sorted({*HTTP_PORTS, "watcher"} - {"orders-api"}):
        yield _client("apps/v1", "Deployment", name)
    yield _client("batch/v1", "Job", "provision")


def _client(version: str, kind: str, name: str) -> Manifest:
    env = [
        {"name": "KAFKA_SECURITY_PROTOCOL", "value": "SASL_SSL"},
        {"name": "KAFKA_SASL_USERNAME", "value": name},
        {"name": "KAFKA_SASL_PASSWORD", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}},
        {"name": "KAFKA_SSL_CA_FILE", "value": f"{CA_FOLDER}/ca.crt"},
    ]
    mounts = [{"name": "kafka-ca", "mountPath": CA_FOLDER, "readOnly": True}]
    secret = {"secretName": f"{CLUSTER}-cluster-ca-cert", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    pod = {
        "containers": [{"name": "process", "env": env, "volumeMounts": mounts}],
        "volumes": [{"name": "kafka-ca", "secret": secret}],
    }
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


def scalers() -> Iterator[Manifest]:
    """A ScaledObject for each service of the runtime. More processes than partitions would stand idle."""
    for service, read in SUBSCRIPTIONS.items():
        yield {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": service},
            "spec": {
                "scaleTargetRef": {"name": service},
                "minReplicaCount": LEAST_REPLICAS,
                "maxReplicaCount": DEFAULT_PARTITIONS,
                "pollingInterval": 30,
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _CALMLY}},
                "triggers": [_trigger(service, topic) for topic in read],
            },
        }


#: Each step up or down is a rebalance: one process at a time, and down only after ten quiet minutes.
_CALMLY: Final = {
    "scaleUp": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]},
    "scaleDown": {"stabilizationWindowSeconds": 600, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]},
}


def lag_threshold(service: str, topic: str) -> int:
    """The records of a topic that one process of the service, which is a core at most, settles in `CATCH_UP_S`; in hundreds."""
    orders = CATCH_UP_S * 1000 / CPU_MS.get(service, CPU_MS_UNKNOWN)
    return int(orders * RECORDS.get(topic, 1)) // 100 * 100


def _trigger(service: str, topic: str) -> Manifest:
    return {
        "type": "kafka",
        "metadata": {
            "bootstrapServers": f"{CLUSTER}-kafka-bootstrap:9093",
            "consumerGroup": f"{TASK_QUEUE.default}.{service}",
            "topic": topic,
            "lagThreshold": str(lag_threshold(service, topic)),
            "sasl": "scram_sha512",
            "tls": "enable",
        },
        "authenticationRef": {"name": "kafka"},
    }


#: The file below `components`, and what stands in it.
FILES: Final = {
    "strimzi/topics.yaml": topics,
    "strimzi/users.yaml": users,
    "strimzi/clients.yaml": clients,
    "keda/scalers.yaml": scalers,
}


class _Plain(yaml.SafeDumper):
    """Without YAML's anchors, which say nothing to a reader."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def text(manifests: Iterable[Manifest]) -> str:
    """As it stands in a file."""
    return BEGIN + yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=120)


def main() -> None:
    """Write them."""
    for name, manifests in FILES.items():
        (COMPONENTS / name).write_text(text(manifests()))


if __name__ == "__main__":
    main()
