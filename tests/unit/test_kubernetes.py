"""The manifests in deploy/kubernetes: rendered from what is committed, valid, and the same stack that docker-compose.yml runs."""

from __future__ import annotations

import base64
import copy
import json
import re
from functools import cache
from typing import Any, Final

import jsonschema_rs
import pytest
from manifests import (
    FOLDER,
    NOT_OURS,
    ROOT,
    chosen,
    compose,
    container,
    environment,
    of_kind,
    processes,
    rendered,
    script,
    secrets_of,
)

from contracts.ports import HTTP_PORTS, WATCHER_PORT

OVERLAYS: Final = ("local", "production")
PORTS: Final = {**HTTP_PORTS, "watcher": WATCHER_PORT}
#: Told otherwise than in compose, and why that is right.
TOLD_OTHERWISE: Final = {
    "LOG_FORMAT",  # for a collector, not for people
    "KAFKA_GROUP_INSTANCE_ID",  # the pod's name
}


@cache
def validator(name: str) -> Any:
    return jsonschema_rs.validator_for(json.loads((FOLDER / "schemas" / f"{name}.json").read_text()))


def schema_of(manifest: dict[str, Any]) -> str:
    """As kubeconform names the file."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    return "-".join(part for part in (manifest["kind"].lower(), group.split(".")[0], version) if part)


def test_what_follows_from_the_code_is_current() -> None:
    generate = script("generate")
    for name, manifests in generate.FILES.items():
        assert (FOLDER / "components" / name).read_text() == generate.text(manifests()), "make kubernetes"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_committed_rendering_was_made_from_what_is_committed_and_not_changed_by_hand(overlay: str) -> None:
    first, _, body = (FOLDER / "rendered" / f"{overlay}.yaml").read_text().partition("\n")
    assert first + "\n" == script("render").header(overlay, body), "make kubernetes"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_what_its_schema_asks_for(overlay: str) -> None:
    wrong = {
        f"{one['kind']} {one['metadata']['name']}": [f"{error.instance_path}: {error.message}" for error in errors]
        for one in rendered(overlay)
        if (errors := list(validator(schema_of(one)).iter_errors(one)))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("kind", "where", "value"),
    [
        ("Deployment", "spec.template.spec.containers.0.readinesProbe", {}),
        ("Deployment", "spec.replicas", "two"),
        ("Job", "spec.template.spec.containers.0.resources.limits.memory", [1]),
        ("NetworkPolicy", "spec.policyType", ["Ingress"]),
        ("PodDisruptionBudget", "spec.maxUnavailible", 1),
        ("Service", "spec.ports.0.port", "http"),
        ("KafkaTopic", "spec.partitions", 0),
        ("KafkaUser", "spec.authorization.acls.0.operations.0", "read"),
        ("Cluster", "spec.instance", 3),
        ("Database", "spec.cluster.nam", "postgres"),
        ("ScaledObject", "spec.maxReplicas", 4),
        ("TriggerAuthentication", "spec.secretTargetRef.0.keys", "password"),
    ],
)
def test_a_schema_refuses_a_slip_of_the_pen(kind: str, where: str, value: object) -> None:
    wrong = copy.deepcopy(next(iter(of_kind("production", kind).values())))
    *path, last = where.split(".")
    place: Any = wrong
    for step in path:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    assert not validator(schema_of(wrong)).is_valid(wrong)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_of_compose_runs_on_its_port_with_its_memory_and_behind_its_name(overlay: str) -> None:
    assert set(processes(overlay)) == set(compose()) - NOT_OURS | {"provision"} == set(PORTS) | {"provision"}
    services = of_kind(overlay, "Service")
    for name, pod in processes(overlay).items():
        one = container(pod)
        image = compose()[name]["image"].partition(":")[0]
        assert one["image"].rpartition(":")[0].removeprefix("registry.example/") == image
        assert one["resources"]["limits"]["memory"] == compose()[name]["mem_limit"].replace("m", "Mi")
        if name != "provision":
            assert one["ports"] == [{"name": "http", "containerPort": PORTS[name]}]
            assert services[name]["spec"]["ports"] == [{"name": "http", "port": PORTS[name], "targetPort": "http"}]
            assert chosen({"matchLabels": services[name]["spec"]["selector"]}, pod["metadata"]["labels"])
            assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(PORTS[name])
    assert container(processes(overlay)["provision"])["args"] == compose()["provision"]["command"]


def test_a_process_is_told_what_it_is_told_in_compose() -> None:
    for name, pod in processes("local").items():
        told, there = environment("local", pod), compose()[name]["environment"]
        assert told.keys() == there.keys(), name
        for setting in told.keys() - TOLD_OTHERWISE:
            usual = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(there[setting]))
            if setting.endswith("_DATABASE_URL"):
                assert secret("local", told[setting]) == usual, setting
            else:
                assert told[setting] == usual, setting


def secret(overlay: str, source: dict[str, Any]) -> str:
    """What stands in the secret that this names."""
    ref = source["secretKeyRef"]
    return base64.b64decode(of_kind(overlay, "Secret")[ref["name"]]["data"][ref["key"]]).decode()


def test_in_production_a_process_is_told_no_more_than_it_reads() -> None:
    reads = {
        name: {setting.name for setting in settings} for name, settings in script("settings_table").PROCESSES.items()
    }
    for name, pod in processes("production").items():
        told, there = environment("production", pod).keys(), compose()[name]["environment"].keys()
        assert there <= told
        assert told - there <= reads[name], name
        # The orders API does not speak with the broker.
        assert ("KAFKA_SASL_PASSWORD" in told) == (name != "orders-api"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_may_do_nothing_that_it_need_not(overlay: str) -> None:
    for name, pod in processes(overlay).items():
        spec, one = pod["spec"], container(pod)
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in one["volumeMounts"] if not mount.get("readOnly")] == ["/tmp"]
    for name, one in of_kind(overlay, "StatefulSet", "Deployment").items():
        pod = one["spec"]["template"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        assert container(pod)["securityContext"]["allowPrivilegeEscalation"] is False
        assert container(pod)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_says_what_it_needs_and_no_more_than_it_may_have(overlay: str) -> None:
    found = of_kind(overlay, "Deployment", "StatefulSet", "Job")
    assert len(found) > 10
    for name, one in found.items():
        resources = container(one["spec"]["template"])["resources"]
        asked, most = resources["requests"], resources["limits"]
        assert re.fullmatch(r"[1-9]\d*m", asked["cpu"]), name
        assert 0 < mebibytes(asked["memory"]) <= mebibytes(most["memory"]), name
        assert "cpu" not in most, "a throttled process loses its partitions"


def mebibytes(quantity: str) -> int:
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


def test_health_is_asked_where_compose_asks() -> None:
    asked = (ROOT / "deploy" / "healthcheck.py").read_text()
    for name, pod in processes("production").items():
        if name == "provision":
            continue
        probes = {kind: container(pod)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in probes.values()} == {"http"}
        assert {kind: probe["path"] for kind, probe in probes.items()} == {
            "startup": "/healthz",
            "liveness": "/healthz",
            "readiness": "/readyz",
        }
        assert all(f'"{probe["path"]}"' in asked for probe in probes.values())
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        assert f"{grace}s" == "15s"  # stop_grace_period in compose; 10 s of draining fit in


def test_a_drain_takes_one_pod_of_a_process_at_a_time_and_they_stand_apart() -> None:
    budgets = of_kind("production", "PodDisruptionBudget")
    assert budgets.keys() == set(PORTS)
    for name, one in of_kind("production", "Deployment").items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert chosen(budgets[name]["spec"]["selector"], labels)
        assert chosen(one["spec"]["selector"], labels)
        spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {constraint["topologyKey"] for constraint in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for constraint in spread:
            assert chosen(constraint["labelSelector"], labels)
            assert "app.kubernetes.io/name" in constraint["matchLabelKeys"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_address_names_a_service_that_is_there(overlay: str) -> None:
    services = of_kind(overlay, "Service")
    found = 0
    for pod in processes(overlay).values():
        for name, value in environment(overlay, pod).items():
            if re.search("(?<!DATABASE)_URLS?$", name):
                host, port = value.removeprefix("http://").split(":")
                assert services[host]["spec"]["ports"][0]["port"] == int(port)
                found += 1
    assert found == len(re.findall(r"_URLS?: http", (ROOT / "docker-compose.yml").read_text()))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_comes_in_or_goes_out_but_what_a_policy_lets(overlay: str) -> None:
    policies = {name: one["spec"] for name, one in of_kind(overlay, "NetworkPolicy").items()}
    for name, pod in processes(overlay).items():
        labels, told = pod["metadata"]["labels"], environment(overlay, pod)
        holding = {policy for policy, spec in policies.items() if chosen(spec["podSelector"], labels)}
        assert {"nothing", "names"} <= holding
        # What it is told of, it reaches; and it reaches no more.
        own = {one["name"] for one in container(pod)["env"]}
        assert ("to-databases" in holding) == any(setting.endswith("_DATABASE_URL") for setting in own), name
        assert ("to-kafka" in holding) == (name != "orders-api"), name
        assert ("to-mail" in holding) == ("SMTP_HOST" in told), name
        assert ("to-processes" in holding) == any(setting.endswith("_API_URL") for setting in own), name
        assert ("from-people" in holding) == (name in ("orders-api", "inventory", "payment", "console")), name
    assert policies["nothing"].keys() == {"podSelector", "policyTypes"}
    assert policies["nothing"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_a_pod_needs_is_made_by_somebody(overlay: str) -> None:
    made = set(of_kind(overlay, "Secret")) | set(of_kind(overlay, "KafkaUser"))
    for cluster in of_kind(overlay, "Cluster").values():
        made |= {role["passwordSecret"]["name"] for role in cluster["spec"]["managed"]["roles"]}
    for name, pod in processes(overlay).items():
        assert {needed for needed, _ in secrets_of(pod)} <= made, name
