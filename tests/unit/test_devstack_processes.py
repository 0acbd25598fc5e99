"""The table of services becomes processes; back-off and mails are known by plain rules."""

from pathlib import Path

from contracts.ports import HTTP_PORTS
from devstack.kafka import new_cluster_id, server_properties
from devstack.keeper import BackOff
from devstack.processes import SERVICES, service_processes
from devstack.settings import Settings, database_variable
from devstack.smtp_sink import MailFolder

SETTINGS = Settings(home=Path("/home/somebody/stack"), offset=50, partitions=8)


def test_every_process_of_the_port_table_is_in_the_table_of_services() -> None:
    assert {service.name for service in SERVICES} == set(HTTP_PORTS)


def test_a_service_is_told_its_own_databases_and_no_others() -> None:
    processes = {spec.name: spec for spec in service_processes(SETTINGS)}
    urls = {name: {key for key in spec.env if key.endswith("_DATABASE_URL")} for name, spec in processes.items()}
    assert urls["payment"] == {"PAYMENT_DATABASE_URL", "GATEWAY_DATABASE_URL"}
    assert urls["orders-api"] == urls["orders"] == {database_variable("orders")}


def test_a_service_is_told_its_ports_with_the_offset() -> None:
    processes = {spec.name: spec for spec in service_processes(SETTINGS)}
    assert processes["inventory"].env["HTTP_PORT"] == "8052"
    assert processes["inventory"].port == 8052
    assert processes["notification"].env["SMTP_PORT"] == "1075"
    assert "SMTP_PORT" not in processes["orders"].env
    assert all(spec.env["TOPIC_PARTITIONS"] == "8" for spec in processes.values())


def test_the_console_alone_is_told_to_tell_its_first_password() -> None:
    told = {spec.name: spec.env.get("CONSOLE_FIRST_PASSWORD") for spec in service_processes(SETTINGS)}
    assert {name for name, where in told.items() if where == "stdout"} == {"console"}


def test_the_broker_never_creates_topics_by_itself() -> None:
    lines = server_properties(SETTINGS, Path("/data")).splitlines()
    assert "auto.create.topics.enable=false" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:9142,CONTROLLER://127.0.0.1:9143" in lines


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    assert not any(new_cluster_id().startswith("-") for _ in range(2000))


def test_the_back_off_doubles_up_to_its_most() -> None:
    waits = [BackOff().after(failures) for failures in (1, 2, 3, 6, 7, 1000)]
    assert waits == [0.2, 0.4, 0.8, 6.4, 10.0, 10.0]


def test_a_mail_with_a_known_message_id_is_dropped(tmp_path: Path) -> None:
    mails = MailFolder(tmp_path)
    assert mails.keep(b"Message-ID: <1@shop>\r\nSubject: a\r\n\r\nfirst")
    assert not mails.keep(b"Message-ID:  <1@shop>\r\nSubject: a\r\n\r\nagain")
    assert mails.keep(b"Message-ID: <2@shop>\r\n\r\nfirst")
    assert len(list(tmp_path.glob("*.eml"))) == 2
    assert not MailFolder(tmp_path).keep(b"Message-ID: <1@shop>\r\n\r\nafter a restart")
