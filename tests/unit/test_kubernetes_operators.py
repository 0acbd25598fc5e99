"""What the overlay for production leaves to Strimzi, CloudNativePG and KEDA: they are told what the code and the policy say."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from manifests import ROOT, environment, of_kind, processes, script

from contracts.orders import StartOrder
from contracts.topics import DEFAULT_PARTITIONS, SUBSCRIPTIONS, all_topics
from contracts.values import Item
from messaging.settings import PARTITIONS, TASK_QUEUE
from provision.access import Acl, acls, load_policy
from provision.databases import GATEWAY, SERVICES
from provision.topic_settings import load_topic_settings, mismatches
from simulation import System
from simulation.kit import approve, receive_stock, register_customer


def job() -> dict[str, Any]:
    """The settings of the job that looks at the topics; what is a secret is left out."""
    told = environment("production", processes("production")["provision"])
    return {name: value for name, value in told.items() if isinstance(value, str)}


def test_strimzi_makes_the_topics_that_the_job_wants_to_find() -> None:
    made, settings = of_kind("production", "KafkaTopic"), load_topic_settings(job())
    specs = settings.specs(PARTITIONS.read(job()))
    assert made.keys() == {spec.name for spec in specs}
    assert {one["spec"]["partitions"] for one in made.values()} == {PARTITIONS.read(job())}
    assert {one["spec"]["replicas"] for one in made.values()} == {settings.replicas} == {3}
    assert mismatches(specs, {name: one["spec"]["config"] for name, one in made.items()}) == []
    assert {one["metadata"]["labels"]["strimzi.io/cluster"] for one in made.values()} == {"kafka"}


def test_strimzis_users_may_do_what_the_policy_says_and_nothing_else() -> None:
    users = of_kind("production", "KafkaUser")
    found = {
        Acl(name, operation.lower(), rule["resource"]["type"], rule["resource"].get("name", "kafka-cluster"))
        for name, one in users.items()
        for rule in one["spec"]["authorization"]["acls"]
        for operation in rule["operations"]
        if name not in ("provision", "keda")
    }
    assert found == set(acls(load_policy(), TASK_QUEUE.default))
    rules = [rule for one in users.values() for rule in one["spec"]["authorization"]["acls"]]
    assert {rule["resource"].get("patternType", "literal") for rule in rules} == {"literal"}
    assert {one["spec"]["authentication"]["type"] for one in users.values()} == {"scram-sha-512"}


def test_who_looks_at_the_topics_or_at_the_lag_changes_nothing() -> None:
    users = of_kind("production", "KafkaUser")
    for name in ("provision", "keda"):
        rules = users[name]["spec"]["authorization"]["acls"]
        assert {operation for rule in rules for operation in rule["operations"]} <= {"Describe", "DescribeConfigs"}


def test_a_process_speaks_with_the_broker_in_its_own_name() -> None:
    users = of_kind("production", "KafkaUser")
    for name, pod in processes("production").items():
        told = environment("production", pod)
        if name == "orders-api":
            continue
        assert told["KAFKA_SASL_USERNAME"] == name
        assert name in users
        assert told["KAFKA_SASL_PASSWORD"] == {"secretKeyRef": {"name": name, "key": "password"}}
        assert told["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        folder, _, file = told["KAFKA_SSL_CA_FILE"].rpartition("/")
        (mount,) = [m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["mountPath"] == folder]
        (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == mount["name"]]
        assert [item["path"] for item in volume["secret"]["items"]] == [file]


def test_cloudnative_pg_makes_each_database_with_its_owner_and_every_role_of_the_policy() -> None:
    policy = load_policy()
    databases = {one["spec"]["name"]: one["spec"]["owner"] for one in of_kind("production", "Database").values()}
    assert databases == {name: one.role for one in policy.values() for name in one.owns}
    assert databases.keys() == {*SERVICES, GATEWAY}
    (cluster,) = of_kind("production", "Cluster").values()
    roles = {role["name"] for role in cluster["spec"]["managed"]["roles"]}
    assert roles == {*databases.values(), *(one.role for one in policy.values() if one.looks)}


def test_what_trusts_the_databases_certificate_is_what_has_one() -> None:
    for name, pod in processes("production").items():
        mounted = {mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        own = {one["name"] for one in pod["spec"]["containers"][0]["env"]}
        assert ("/etc/postgres-ca" in mounted) == any(setting.endswith("_DATABASE_URL") for setting in own), name


def test_keda_counts_the_lag_of_everything_that_a_service_reads_and_never_more_processes_than_partitions() -> None:
    scalers = of_kind("production", "ScaledObject")
    deployments = of_kind("production", "Deployment")
    assert scalers.keys() == SUBSCRIPTIONS.keys()
    for name, one in scalers.items():
        spec = one["spec"]
        assert spec["scaleTargetRef"] == {"name": name}
        # A deployment that says a number, too, would put it back each time it is applied.
        assert "replicas" not in deployments[name]["spec"]
        assert 1 < spec["minReplicaCount"] <= spec["maxReplicaCount"] == DEFAULT_PARTITIONS
        assert [trigger["metadata"]["topic"] for trigger in spec["triggers"]] == list(SUBSCRIPTIONS[name])
        assert {trigger["metadata"]["consumerGroup"] for trigger in spec["triggers"]} == {
            f"{job()['ORDER_TASK_QUEUE']}.{name}"
        }
        assert {trigger["metadata"]["bootstrapServers"] for trigger in spec["triggers"]} == {
            job()["KAFKA_BOOTSTRAP_SERVERS"]
        }
        assert {trigger["authenticationRef"]["name"] for trigger in spec["triggers"]} == set(
            of_kind("production", "TriggerAuthentication")
        )


def test_the_lag_that_is_worth_another_process_follows_from_what_an_order_was_measured_to_cost() -> None:
    generate = script("generate")
    table = (ROOT / "docs" / "scaling.md").read_text()
    cpu = {
        "orders": re.search(r"CPU, orders \| ([\d.]+) ms", table),
        "notification": re.search(r"mail each\) \| ([\d.]+)", table),
    }
    shared = re.search(r"CPU, inventory / payment / customer \| ([\d.]+) / ([\d.]+) /", table)
    assert shared is not None
    told = {name: float(found[1]) for name, found in cpu.items() if found is not None}
    assert told | {"inventory": float(shared[1]), "payment": float(shared[2])} == generate.CPU_MS
    for name, one in of_kind("production", "ScaledObject").items():
        for trigger in one["spec"]["triggers"]:
            threshold, topic = int(trigger["metadata"]["lagThreshold"]), trigger["metadata"]["topic"]
            orders = threshold / generate.RECORDS.get(topic, 1)
            took_s = orders * generate.CPU_MS.get(name, generate.CPU_MS_UNKNOWN) / 1000
            assert 0.95 * generate.CATCH_UP_S < took_s <= generate.CATCH_UP_S, (name, topic)


def test_an_order_brings_as_many_records_onto_a_topic_as_the_scalers_reckon_with() -> None:
    system = System(seed=1)
    system.command("tea", receive_stock("tea", 5, 100))
    system.command("ann", register_customer("ann", "Ann", "ann@example.com"))
    system.run()
    before = counted(system)
    item = Item(sku="tea", quantity=1)
    system.command("o-1", StartOrder(customer_id="ann", items=(item,), workflow_version=1))
    system.command("o-1", approve())
    system.finish()
    found = counted(system) - before
    assert {topic: count for topic, count in found.items() if count > 1} == script("generate").RECORDS


def counted(system: System) -> Counter[str]:
    """The records on each topic."""
    return Counter({spec.name: len(system.broker.all_records(spec.name)) for spec in all_topics()})
