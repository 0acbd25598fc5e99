"""TLS, SASL and secrets by settings: what is not usable is refused by name, and no secret stands in a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import typer
import yaml
from manifests import ROOT, rendered

from contracts.topics import RECOMMENDATION_LEARNER, SUBSCRIPTIONS, dead_letter_topics
from devstack.cli import app as devstack_app
from messaging.errors import SettingsError
from messaging.secure import load_kafka_security
from messaging.setting import database_url, secret
from messaging.settings import load_settings
from orderctl.main import app as orderctl_app
from provision.access import PolicyError, load_policy

SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "orders", "KAFKA_SASL_PASSWORD": "s3cret"}


def test_without_settings_the_broker_is_reached_as_it_is() -> None:
    assert load_kafka_security({}).options() == {}


def test_sasl_over_tls_checks_the_brokers_name_and_certificate(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    options = load_kafka_security({**SASL, "KAFKA_SSL_CA_FILE": str(tmp_path / "ca.pem")}).options()
    context = options.pop("ssl_context")
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "orders",
        "sasl_plain_password": "s3cret",
    }


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-a-file\n")
    env = {**SASL, "KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password")}
    with pytest.raises(SettingsError, match="KAFKA_SASL_PASSWORD and KAFKA_SASL_PASSWORD_FILE are both set"):
        load_kafka_security(env)
    del env["KAFKA_SASL_PASSWORD"]
    assert load_kafka_security(env).password == "from-a-file"
    (tmp_path / "url").write_text("postgresql://orders:pw@db/orders\n")
    found = load_settings("orders", env={"ORDERS_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert found.database_url == "postgresql://orders:pw@db/orders"
    assert secret({}, "NOTHING") is None


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL must be one of PLAINTEXT, SSL"),
        ({**SASL, "KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_MECHANISM must be one of SCRAM-SHA-512"),
        ({**SASL, "KAFKA_SASL_USERNAME": ""}, "needs KAFKA_SASL_USERNAME"),
        ({**SASL, "KAFKA_SASL_PASSWORD": ""}, "KAFKA_SASL_PASSWORD_FILE"),
        ({**SASL, "KAFKA_SSL_CA_FILE": "/nowhere"}, "KAFKA_SSL_CA_FILE"),
        ({**SASL, "KAFKA_SSL_CA_FILE": __file__}, "KAFKA_SSL_CA_FILE must be a file with certificates"),
        ({"ORDERS_DATABASE_URL": " "}, "ORDERS_DATABASE_URL must be an address that begins with"),
        ({"ORDERS_DATABASE_URL_FILE": "/nowhere"}, "ORDERS_DATABASE_URL_FILE names a file that cannot be read"),
    ],
)
def test_a_setting_that_is_not_usable_is_refused_by_its_name(env: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings("orders", env=env)
    assert "s3cret" not in str(refused.value)


def test_who_is_shown_shows_no_password() -> None:
    assert "s3cret" not in repr(load_kafka_security(SASL))


def options_of(command: Any) -> Iterator[str]:
    """The options and arguments of a program and of all its verbs."""
    yield from (param.name for param in command.params)
    for verb in getattr(command, "commands", {}).values():
        yield from options_of(verb)


@pytest.mark.parametrize(
    ("program", "known"),
    [(orderctl_app, {"order_id", "operator", "reason"}), (devstack_app, {"wipe", "only_backends"})],
    ids=["orderctl", "devstack"],
)
def test_no_program_takes_a_secret_or_an_address_that_may_hold_one_as_an_argument(
    program: typer.Typer, known: set[str]
) -> None:
    options = set(options_of(typer.main.get_command(program)))
    assert known <= options
    assert [name for name in options if re.search("password|secret|token|database|sasl", name)] == []


def test_no_container_is_told_a_secret_as_an_argument() -> None:
    """Neither what is started in it nor what asks for its health."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    told = [one.get(key) for one in services for key in ("command", "entrypoint", "healthcheck")]
    pods = [one["spec"]["template"]["spec"] for one in rendered("production") if "template" in one.get("spec", {})]
    boxes = [box for pod in pods for box in (*pod["containers"], *pod.get("initContainers", ()))]
    told += [box.get(key) for box in boxes for key in ("command", "args", "livenessProbe", "readinessProbe")]
    assert len([one for one in told if one]) > 20
    assert re.findall(r"(?i)\S*password\S*|\S*secret\S*|\S*_url\S*|postgresql:\S*", str(told)) == []


def test_a_database_that_is_not_named_is_the_local_one() -> None:
    assert database_url("gateway").read({}) == "postgresql:///gateway"


def test_the_policy_lets_each_service_read_what_it_subscribes_to_and_write_its_dead_letters() -> None:
    policy = load_policy()
    for service, topics in SUBSCRIPTIONS.items():
        one = policy[service]
        assert one.reads >= set(topics)
        assert one.group == service
        assert {topic for topic in one.writes if topic.endswith(".dlq")} == {
            topic for topic, writer in dead_letter_topics() if writer == service
        }
    assert policy[RECOMMENDATION_LEARNER].group == RECOMMENDATION_LEARNER


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[a]\nreads = ["no.such.topic"]', "no topic is named no.such.topic"),
        ("[a]\nmay = true", "may is none of"),
        ('[a]\nowns = ["x"]\n[b]\nowns = ["x"]', "two owners"),
        ('[a]\nlooks = ["x"]', "Nobody owns x"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(text)
    with pytest.raises(PolicyError, match=told):
        load_policy(tmp_path / "access.toml")
