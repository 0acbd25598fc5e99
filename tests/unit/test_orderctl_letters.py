"""`orderctl dlq`, from the arguments to the exit code, over a service that is broken and mended."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from letters_service import DEAD, Service

from contracts.letters import Letter
from contracts.topics import LETTERS_EVENTS, ORDERS_EVENTS, RECOMMENDATION_COMMANDS
from orderctl import cli, main
from orderctl.commands import dlq
from orderctl.letters import book
from orderctl.letters.book import Wanted, topics_for
from orderctl.letters.lanes import Lanes

ME = ("--operator", "m.brown", "--reason", "ticket 4711")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()

    async def ask_lanes(processes: Any) -> tuple[Lanes, list[str]]:
        return {("recommendation", key): {"key": key, "waiting": n} for key, n in made.lanes.items()}, ["payment"]

    monkeypatch.setattr(cli, "transport_for", lambda settings: made.transport)
    monkeypatch.setattr(dlq, "ask_lanes", ask_lanes)
    return made


@pytest.fixture
def orderctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a verb: its exit code and what it printed on stdout and on stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["orderctl", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def broken(service: Service) -> list[str]:
    """`A` and `B` fail, each with one behind; `C` is fine, and there is garbage. Returns the letters' names."""
    service.handler.broken = {"BAD"}
    records = [
        service.ask(key, sku, n)
        for n, (key, sku) in enumerate([("A", "BAD"), ("B", "BAD"), ("C", "x"), ("A", "x"), ("B", "x")])
    ]
    garbage = service.broker.append(RECOMMENDATION_COMMANDS, b"A", b"\xffnope", [], records[0].partition)
    service.work()
    names = [Letter("recommendation", r.topic, r.partition, r.offset) for r in (records[0], records[1], garbage)]
    return [str(name) for name in names]


def test_the_list_groups_by_reason_and_says_what_waits(service: Service, orderctl: Any) -> None:
    names = broken(service)
    code, out, _ = orderctl("dlq", "list", "--json")
    (told,) = lines(out)
    assert code == 0
    assert [(g["reason"], g["open"], g["waiting"]) for g in told["groups"]] == [
        ("handler-error", 2, 2),
        ("not-utf8", 1, 0),
    ]
    assert told["totals"] == {"open": 3, "asked": 0, "replayed": 0, "discarded": 0}
    assert sorted(item["letter"] for item in told["items"]) == sorted(names)
    assert told["missing"] == ["payment"]
    code, out, err = orderctl("dlq", "list")
    assert code == 0
    assert names[0] in out
    assert "payment" in err


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("--reason", "not-utf8"), 1),
        (("--dlq-reason", "handler-error"), 2),
        (("--key", "B"), 1),
        (("--service", "orders"), 0),
        (("--topic", RECOMMENDATION_COMMANDS), 3),
        (("--since", "1h"), 3),
        (("--since", "2999-01-01T00:00Z"), 0),
        (("--state", "replayed"), 0),
    ],
)
def test_filters_narrow_the_list(service: Service, orderctl: Any, filters: tuple[str, ...], found: int) -> None:
    broken(service)
    _, out, _ = orderctl("dlq", "list", "--json", *filters)
    assert len(lines(out)[0]["items"]) == found


def test_a_letter_is_shown_with_its_bytes(service: Service, orderctl: Any) -> None:
    name = broken(service)[2]
    code, out, _ = orderctl("dlq", "show", name, "--json")
    (told,) = lines(out)
    assert code == 0
    assert (told["value_hex"], told["value_text"], told["lane"]) == ("ff6e6f7065", "\\xffnope", None)
    assert told["dead_letter"]["topic"] == DEAD
    _, out, _ = orderctl("dlq", "show", name)
    assert "ff 6e 6f 70 65" in out
    assert "|.nope|" in out


def test_what_was_mended_is_replayed_in_order_and_once(service: Service, orderctl: Any) -> None:
    names = broken(service)
    service.handler.broken.clear()
    before = service.sent()
    code, out, _ = orderctl("dlq", "replay", "--dlq-reason", "handler-error", *ME, "--json")
    assert code == 0
    assert sorted((r["letter"], r["outcome"], r["waiting"]) for r in lines(out)) == sorted(
        (n, "handled", 1) for n in names[:2]
    )
    assert service.sent() == before + 2
    assert [request for request in service.answered() if request[0] == "A"] == ["A-0", "A-3"]
    assert [request for request in service.answered() if request[0] == "B"] == ["B-1", "B-4"]
    words = [r for r in service.broker.all_records(RECOMMENDATION_COMMANDS) if dict(r.headers).get("letter-act")]
    assert {name for word in words for name, _ in word.headers} == {
        "content-type", "ce_type", "x-mine", "letter-name", "letter-act", "letter-operator", "letter-reason"
    }  # fmt: skip
    code, out, _ = orderctl("dlq", "replay", "--dlq-reason", "handler-error", *ME, "--json")
    assert (code, out) == (0, "")
    code, out, _ = orderctl("dlq", "replay", names[0], *ME, "--json")
    assert (code, lines(out)[0]["outcome"], lines(out)[0]["error"]) == (0, "skipped", "it is replayed already")
    assert service.sent() == before + 2


def test_words_are_sent_no_faster_than_asked(service: Service, orderctl: Any) -> None:
    broken(service)
    service.handler.broken.clear()
    began = time.monotonic()
    assert orderctl("dlq", "replay", "--dlq-reason", "handler-error", *ME, "--rate", "2")[0] == 0
    assert time.monotonic() - began > 0.9, "two at two a second take a second"


def test_what_fails_again_stays_open_and_the_exit_code_says_so(service: Service, orderctl: Any) -> None:
    names = broken(service)
    code, out, _ = orderctl("dlq", "replay", names[0], *ME, "--json")
    assert (code, lines(out)[0]["outcome"], lines(out)[0]["error"]) == (5, "failed", "ValueError")
    _, out, _ = orderctl("dlq", "show", names[0], "--json")
    (told,) = lines(out)
    assert (told["state"], told["waiting"]) == ("open", 1)
    assert [(t["what"], t["operator"]) for t in told["told"]] == [
        ("LetterAsked", "m.brown"),
        ("LetterAnswered", "m.brown"),
    ]


def test_a_letter_that_is_asked_for_is_not_sent_again_while_the_service_is_away(
    service: Service, orderctl: Any
) -> None:
    names = broken(service)
    service.handler.broken.clear()
    service.away = True
    before = service.sent()
    for expected in (1, 1):
        code, _, _ = orderctl("dlq", "replay", names[0], *ME, "--timeout", "0.1")
        assert (code, service.sent() - before) == (6, expected)
    code, _, _ = orderctl("dlq", "replay", names[0], *ME, "--timeout", "0.1", "--again")
    assert (code, service.sent() - before) == (6, 2)
    _, out, _ = orderctl("dlq", "list", "--json")
    assert lines(out)[0]["totals"] == {"open": 2, "asked": 1, "replayed": 0, "discarded": 0}
    service.away = False
    service.work()
    assert [request for request in service.answered() if request[0] == "A"] == ["A-0", "A-3"]
    _, out, _ = orderctl("dlq", "list", "--json")
    assert lines(out)[0]["totals"] == {"open": 2, "asked": 0, "replayed": 1, "discarded": 0}


def test_a_client_that_died_after_telling_that_it_would_send_has_sent_nothing_that_cannot_be_sent(
    service: Service, orderctl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = broken(service)
    service.handler.broken.clear()
    publish = service.transport.publish

    async def half(wires: Any, give_up_after_s: float) -> None:
        if wires[0].topic != LETTERS_EVENTS:
            raise RuntimeError("killed")
        await publish(wires, give_up_after_s)

    monkeypatch.setattr(service.transport, "publish", half)
    monkeypatch.setattr("sys.argv", ["orderctl", "dlq", "replay", names[0], *ME])
    with pytest.raises(RuntimeError):
        main.main()
    monkeypatch.setattr(service.transport, "publish", publish)
    assert orderctl("dlq", "replay", names[0], *ME)[0] == 6
    assert orderctl("dlq", "replay", names[0], *ME, "--again")[0] == 0


def test_a_discarded_head_lets_the_next_ones_go(service: Service, orderctl: Any) -> None:
    names = broken(service)
    code, out, _ = orderctl("dlq", "discard", names[0], names[2], *ME, "--json")
    assert code == 0
    assert sorted((r["outcome"], r["waiting"]) for r in lines(out)) == [("discarded", 0), ("discarded", 1)]
    assert "A-3" in service.answered()
    assert "A-0" not in service.answered()
    service.handler.broken.clear()
    code, out, _ = orderctl("dlq", "replay", names[0], *ME)
    assert (code, "discarded already" in out) == (0, True)
    _, out, _ = orderctl("dlq", "list", "--json")
    assert lines(out)[0]["totals"] == {"open": 1, "asked": 0, "replayed": 0, "discarded": 2}


def test_garbage_that_is_discarded_is_sent_to_nobody(service: Service, orderctl: Any) -> None:
    names = broken(service)
    before = service.sent()
    assert orderctl("dlq", "discard", names[2], *ME)[0] == 0
    assert service.sent() == before


def test_a_dry_run_sends_and_tells_nothing(service: Service, orderctl: Any) -> None:
    broken(service)
    before = service.sent()
    for act in ("replay", "discard"):
        code, out, _ = orderctl("dlq", act, "--all", *ME, "--dry-run", "--json")
        assert (code, [r["error"] for r in lines(out)]) == (0, [f"would {act} it"] * 3)
    assert service.sent() == before
    assert service.broker.all_records(LETTERS_EVENTS) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("replay", *ME), 2),
        (("discard", "--all", "--operator", "me"), 2),
        (("discard", "--all", "--operator", "", "--reason", "x"), 2),
        (("replay", "nonsense", *ME), 2),
        (("list", "--since", "yesterday"), 2),
        (("show", "orders/orders.commands.v1/0/7"), 7),
        (("replay", "orders/orders.commands.v1/0/7", *ME), 7),
    ],
)
def test_what_makes_no_sense_is_refused(service: Service, orderctl: Any, arguments: tuple[str, ...], code: int) -> None:
    broken(service)
    before = service.sent()
    assert orderctl("dlq", *arguments)[0] == code
    assert service.sent() == before


def test_a_letter_that_was_cut_can_only_be_discarded(service: Service, orderctl: Any) -> None:
    huge = service.broker.append(RECOMMENDATION_COMMANDS, b"A", b"0" * 5_000_000, [], 0)
    service.work()
    name = str(Letter("recommendation", huge.topic, huge.partition, huge.offset))
    code, out, _ = orderctl("dlq", "replay", name, *ME, "--json")
    assert (code, lines(out)[0]["outcome"]) == (5, "skipped")
    assert orderctl("dlq", "discard", name, *ME)[0] == 0


def test_a_second_letter_of_a_name_is_not_settled_by_what_was_said_of_the_first(
    service: Service, orderctl: Any
) -> None:
    """A broker that lost its tail gives an offset a second time."""
    names = broken(service)
    assert orderctl("dlq", "discard", names[0], *ME)[0] == 0
    _, out, _ = orderctl("dlq", "show", names[0], "--json")
    assert lines(out)[0]["state"] == "discarded"
    (first,) = (r for r in service.broker.all_records(DEAD) if str(book._name(r)) == names[0])
    headers = [(n, b"2999-01-01T00:00:00+00:00" if n == "dlq-time" else v) for n, v in first.headers]
    service.broker.append(DEAD, first.key, b"another", headers, first.partition)
    service.broker.append(DEAD, first.key, first.value, first.headers, first.partition)
    _, out, _ = orderctl("dlq", "show", names[0], "--json")
    (told,) = lines(out)
    assert (told["state"], told["value_text"], told["told"]) == ("open", "another", [])


def test_only_the_topics_on_which_a_letter_can_stand_are_read() -> None:
    assert len(topics_for(Wanted())) > 10
    one = Letter("recommendation", RECOMMENDATION_COMMANDS, 2, 7)
    assert topics_for(Wanted(names=frozenset({one}))) == (DEAD, LETTERS_EVENTS)
    assert topics_for(Wanted(service="recommendation", topic=RECOMMENDATION_COMMANDS)) == (DEAD, LETTERS_EVENTS)
    from_events = topics_for(Wanted(topic=ORDERS_EVENTS))[:-1]
    assert {topic.split(".")[3] for topic in from_events} >= {"inventory", "customer", "notification"}
    assert all(topic.startswith(f"{ORDERS_EVENTS}.") for topic in from_events)
    assert topics_for(Wanted(service="nobody")) == (LETTERS_EVENTS,)
