"""The environment tells where a stack lives, and nothing else does."""

import stat
from pathlib import Path

import pytest

from devstack.environment import environment_of, export_lines
from devstack.errors import DevstackError
from devstack.settings import DATABASES, Settings, database_variable, make_private, offset_file, read_settings


def test_the_offset_moves_every_port() -> None:
    plain, moved = read_settings({}, offset=0), read_settings({"DEVSTACK_PORT_OFFSET": "100"})
    assert plain.bootstrap == "127.0.0.1:9092"
    assert moved.bootstrap == "127.0.0.1:9192"
    assert moved.http_port("orders-api") == 8101
    assert moved.smtp_port == 1125


def test_a_broker_from_the_environment_wins() -> None:
    settings = read_settings({"KAFKA_BOOTSTRAP_SERVERS": "broker.example:9092"})
    assert settings.bootstrap == "broker.example:9092"
    assert not settings.runs_kafka


def test_no_database_is_started_only_if_all_are_given() -> None:
    given = {database_variable(name): f"postgresql://db.example/{name}" for name in DATABASES}
    assert not read_settings(given).runs_postgres
    del given["GATEWAY_DATABASE_URL"]
    some = read_settings(given)
    assert some.runs_postgres
    assert some.dsn("orders") == "postgresql://db.example/orders"
    assert some.dsn("gateway") == some.own_dsn("gateway", "gateway")


def test_a_shell_that_evaluated_the_stacks_variables_still_means_this_stack(tmp_path: Path) -> None:
    first = read_settings({}, home=tmp_path, offset=40)
    again = read_settings(environment_of(first))
    assert again == first


def test_a_folders_stack_is_meant_with_the_offset_that_it_was_made_with(tmp_path: Path) -> None:
    assert read_settings({}, home=tmp_path).offset == 0
    offset_file(tmp_path).parent.mkdir()
    offset_file(tmp_path).write_text("20000")
    assert read_settings({"DEVSTACK_HOME": str(tmp_path)}).offset == 20000
    assert read_settings({"DEVSTACK_PORT_OFFSET": "100"}, home=tmp_path).offset == 100, (
        "what is said wins, and is refused"
    )


@pytest.mark.parametrize("text", ["many", "0", "-1", "4.5"])
def test_a_partition_count_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(DevstackError, match="TOPIC_PARTITIONS is"):
        read_settings({"TOPIC_PARTITIONS": text})


def test_sockets_have_a_short_path_however_long_the_homes_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("deep" * 30))
    assert len(str(settings.sockets / "postgres" / ".s.PGSQL.5432")) < 104
    assert settings.sockets != Settings(home=tmp_path / ("deeq" * 30)).sockets


def test_a_folder_that_somebody_else_left_under_our_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    link = tmp_path / "ours"
    link.symlink_to(tmp_path / "theirs")
    with pytest.raises(DevstackError, match="belongs to somebody else"):
        make_private(link)
    made = make_private(tmp_path / "new", 0o700)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_the_variables_survive_a_shell() -> None:
    assert export_lines({"A": "b'c d&e"}) == """export A='b'"'"'c d&e'"""
