"""What the dead letters of a round have to be: what was sent to be set aside, and nothing else."""

from __future__ import annotations

from chaos.verdict import misplaced

TOPIC = "customer.events.v1.notification.dlq"
OTHER = "orders.commands.v1.orders.dlq"
SENT = {b"BROKEN-1": True, b"BROKEN-2": True, b"BROKEN-3": False}


def test_what_was_sent_to_be_set_aside_may_stand_there_and_twice() -> None:
    letters = [(TOPIC, b"BROKEN-1"), (TOPIC, b"BROKEN-2"), (TOPIC, b"BROKEN-2"), (TOPIC, b"BROKEN-3")]
    assert list(misplaced(letters, SENT)) == []


def test_a_record_that_the_broker_never_acknowledged_need_not_stand_there() -> None:
    assert list(misplaced([(TOPIC, b"BROKEN-1"), (TOPIC, b"BROKEN-2")], SENT)) == []


def test_a_record_that_was_not_set_aside_is_told() -> None:
    assert list(misplaced([(TOPIC, b"BROKEN-2")], SENT)) == ["BROKEN-1 cannot be read, and is no dead letter"]


def test_every_other_dead_letter_is_told_by_its_topic() -> None:
    letters = [(OTHER, b"LOAD-1"), (OTHER, None), (TOPIC, b"LOAD-2")]
    assert list(misplaced(letters, {})) == [f"2 dead letters on {OTHER}", f"1 dead letters on {TOPIC}"]
