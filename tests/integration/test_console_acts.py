"""What the console keeps of what people do through it: who, why, and what came of it, whatever happens in between."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from itertools import count
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import pytest
from console_bench import Room, Seat, console_room
from tally_real import settings_for
from waiting import until

from contracts.orders import ApprovePayment
from contracts.registry import TYPE_OF
from contracts.topics import INVENTORY_COMMANDS
from messaging.decoding import DeadLetter, dead_letter_wire
from messaging.kafka import KafkaPublisher
from messaging.ports import Record
from services.console import letters, live
from services.console.act_store import LISTED, Act, ActStore

APPROVE = {"type": TYPE_OF[ApprovePayment][1], "data": {"approved_by": "somebody"}}
PLAN = {"verdict": {"accepted": True}, "outcome": None, "money": [], "stock": [], "steps": [], "then": []}
#: Offsets that no other test's letters have.
OFFSETS: Final = count(8_000_000_000)
WHY = "the customer called <twice>"


@dataclass(frozen=True, slots=True)
class Office:
    """A console with an operator, and its record of acts."""

    room: Room
    seat: Seat
    pool: asyncpg.Pool

    @property
    def acts(self) -> ActStore:
        """The record, as the console writes it."""
        return self.room.acts

    async def planned(self, account: str = "somebody", target: str = "O-1", role: str = "operator") -> tuple[int, str]:
        """A plan to approve an order; its id and its command's."""
        command_id = uuid4().hex
        act = Act(account, role, "approve", target, WHY, command_id)
        return await self.acts.plan(act, APPROVE, PLAN), command_id

    async def send(self, command_id: str, order_id: str = "O-1", action: str = "approve") -> tuple[int, str, str]:
        """The answer to a press on the plan's button: its status, where it leads to, what it says."""
        form = {"step": "send", "command_id": command_id, "reason": "another one"}
        answer = await self.seat.post(f"/act/{action}/{order_id}", form)
        return answer.status, answer.headers.get("Location", ""), unescape(await answer.text())

    async def rows(self) -> list[tuple[str, ...]]:
        """Everything on record that was more than a plan, oldest first."""
        found = await self.pool.fetch(
            "SELECT account, action, target, reason, state, outcome FROM act "
            "WHERE state <> 'planned' AND action NOT IN ('account', 'password') ORDER BY at, id"
        )
        return [tuple(row) for row in found]


@pytest.fixture
async def office(server_dsn: str) -> AsyncIterator[Office]:
    async with (
        console_room(server_dsn) as room,
        asyncpg.create_pool(room.dsn, min_size=0, max_size=2) as pool,
    ):
        yield Office(room, await room.somebody("operator"), pool)


async def two_letters(kafka: str) -> list[str]:
    """Dead letters of a service that does not run; their names."""
    records = [Record(INVENTORY_COMMANDS, 1, next(OFFSETS), b"k", b"?", [], datetime.now(UTC)) for _ in range(2)]
    dead = [
        dead_letter_wire(n, "inventory", DeadLetter(one, "unreadable", "why"), datetime.now(UTC))
        for n, one in enumerate(records)
    ]
    publisher = KafkaPublisher(settings_for(kafka))
    try:
        await publisher.publish(dead)
    finally:
        await publisher.close()
    return [f"inventory/{INVENTORY_COMMANDS}/1/{one.offset}" for one in records]


async def test_nothing_is_sent_without_a_plan_of_ones_own_for_the_very_order(office: Office) -> None:
    _, others = await office.planned(account="somebody-else")
    _, demoted = await office.planned(role="support")
    _, mine = await office.planned()
    for command_id, order_id, action in (
        ("forged", "O-1", "approve"),
        ("", "O-1", "approve"),
        ("\0", "O-1", "approve"),
        (others, "O-1", "approve"),
        (demoted, "O-1", "approve"),
        (mine, "O-2", "approve"),
        (mine, "O-1", "cancel"),
    ):
        _, where, _ = await office.send(command_id, order_id, action)
        assert where.startswith(f"/act/{action}/{order_id}?refused=")
        status, text = await office.seat.get(where)
        assert (status, "There is no plan of yours for this." in text) == (409, True), (command_id, order_id, action)
    form = {"step": "send", "names": "orders/x/0/1", "reason": "why not"}
    status, text = await office.seat.send("/letters/discard", form)
    assert (status, "There is no plan of yours" in text) == (409, True)
    assert await office.rows() == []


async def test_an_act_that_nobody_answered_stands_there_with_who_and_why_and_is_the_same_when_sent_again(
    office: Office,
) -> None:
    act_id, command_id = await office.planned()
    for again in (False, True):
        status, where, _ = await office.send(command_id)
        assert (status, where) == (303, f"/acts/{act_id}")
        ((*told, outcome),) = await office.rows()
        assert told == ["somebody", "approve", "O-1", WHY, "sent"]
        assert ("no connection to Kafka" in outcome, "An earlier attempt" in outcome) == (True, again)
        status, text = await office.seat.get(where)
        assert (status, "no connection to Kafka" in text, f'value="{command_id}"' in text) == (200, True, True)
        assert "Send it again and wait" in text
    status, text = await office.seat.get("/acts")
    assert (status, WHY in unescape(text), "somebody" in text, "<twice>" in text) == (200, True, True, False)


@pytest.fixture
async def connected(server_dsn: str, kafka: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    """The same with a broker, and still no service that answers."""
    monkeypatch.setattr(live, "VERDICT_WITHIN_S", 0.2)
    monkeypatch.setattr(letters, "ANSWER_WITHIN_S", 0.2)
    async with (
        console_room(server_dsn, KAFKA_BOOTSTRAP_SERVERS=kafka) as room,
        asyncpg.create_pool(room.dsn, min_size=0, max_size=2) as pool,
    ):
        web = room.stranger().web

        async def ready() -> bool:
            async with web.get("/readyz") as answer:
                return answer.status == 200

        await until(ready, "the console is connected")
        yield Office(room, await room.somebody("operator"), pool)


async def test_no_verdict_in_time_is_told_on_the_acts_own_page(connected: Office) -> None:
    order_id = f"O-{uuid4().hex}"
    act_id, command_id = await connected.planned(target=order_id)
    status, where, _ = await connected.send(command_id, order_id)
    assert (status, where) == (303, f"/acts/{act_id}")
    status, text = await connected.seat.get(where)
    assert (status, command_id in text, "Send it again and wait" in text) == (200, True, True)
    ((*_, state, outcome),) = await connected.rows()
    assert (state, "orders service" in outcome) == ("sent", True)


async def test_letters_are_settled_from_their_plan_and_what_was_not_answered_says_so(
    connected: Office, kafka: str
) -> None:
    names, seat = await two_letters(kafka), connected.seat
    form = {"step": "plan", "names": "\n".join(names), "reason": "noise"}
    where = (await seat.post("/letters/replay", form)).headers["Location"]
    status, text = await seat.get(where)
    assert (status, "2 of 2 would be sent again" in text, "Replay 2 letters" in text) == (200, True, True)
    found = re.search(r'name="command_id" value="([^"]+)"', text)
    assert found
    for _ in range(2):  # pressed twice it is sent once
        answer = await seat.post("/letters/replay", {"step": "send", "command_id": found[1]})
        assert (answer.status, answer.headers["Location"]) == (303, where)
    told = ("somebody", "replay-letters", "2 letters", "noise", "told", "2: it was sent; no answer yet")
    assert await connected.rows() == [told]
    text = (await seat.get(where))[1]
    assert [text.count(name) > 0 for name in names] == [True, True]
    # And the letters say themselves what was asked.
    text = (await seat.get(f"/letters/one?name={quote(names[0])}"))[1]
    assert "replay, “noise”" in text
    where = (await seat.post("/letters/replay", form)).headers["Location"]
    assert "0 of 2 would be sent again" in (await seat.get(where))[1]


async def test_a_stop_while_letters_are_settled_leaves_who_and_why(connected: Office, kafka: str) -> None:
    names, seat = await two_letters(kafka), connected.seat
    form = {"step": "plan", "names": names[0], "reason": "noise"}
    where = (await seat.post("/letters/discard", form)).headers["Location"]
    found = re.search(r'name="command_id" value="([^"]+)"', (await seat.get(where))[1])
    assert found
    await connected.pool.execute("ALTER TABLE act ADD CONSTRAINT ended CHECK (verdict IS NULL)")
    assert (await seat.post("/letters/discard", {"step": "send", "command_id": found[1]})).status == 503
    stopped = ("somebody", "discard-letter", names[0], "noise", "sent", "sent; no answer is on record")
    assert await connected.rows() == [stopped]
    status, text = await seat.get(where)
    assert (status, "Sent; no answer is on record" in text, names[0] in text) == (200, True, True)


async def test_a_stop_between_the_sending_and_the_verdict_leaves_who_and_why(office: Office) -> None:
    act_id, command_id = await office.planned()
    # As if it had ended there: nothing can be written any more once the act counts as sent.
    await office.pool.execute(
        "ALTER TABLE act ADD CONSTRAINT ended CHECK (state <> 'sent' OR outcome = 'sent; no answer is on record')"
    )
    status, _, text = await office.send(command_id)
    assert (status, "The console's database does not answer" in text) == (503, True)
    assert await office.rows() == [("somebody", "approve", "O-1", WHY, "sent", "sent; no answer is on record")]
    status, text = await office.seat.get(f"/acts/{act_id}")
    assert (status, "Sent; no answer is on record" in text, "Send it again and wait" in text) == (200, True, True)


async def test_what_cannot_be_put_on_record_is_not_sent(office: Office) -> None:
    _, command_id = await office.planned()
    await office.pool.execute("ALTER TABLE act ADD CONSTRAINT full_disk CHECK (state <> 'sent')")
    status, where, _ = await office.send(command_id)
    assert (status, where) == (503, "")
    assert await office.rows() == []


async def test_an_act_that_was_told_is_not_sent_again_but_shown(office: Office) -> None:
    act_id, command_id = await office.planned()
    await office.acts.sending(act_id)
    told = {"accepted": False, "reason": "too-late", "message": "it has ended <b>"}
    await office.acts.told(act_id, told, "rejected: too-late")
    status, where, _ = await office.send(command_id)
    assert (status, where) == (303, f"/acts/{act_id}")
    assert await office.rows() == [("somebody", "approve", "O-1", WHY, "told", "rejected: too-late")]
    status, text = await office.seat.get(where)
    assert (status, "Rejected (too-late): it has ended &lt;b&gt;" in text, "Send it again" in text) == (
        200,
        True,
        False,
    )
    assert "rejected: too-late" in (await office.seat.get("/acts"))[1]


async def test_a_plan_is_shown_to_others_and_sent_by_who_made_it_alone(office: Office) -> None:
    act_id, _ = await office.planned(account="somebody-else")
    status, text = await office.seat.get(f"/acts/{act_id}")
    assert (status, "It would be accepted" in text, "It is the plan of somebody-else" in text) == (200, True, True)
    assert 'value="send"' not in text
    viewer = await office.room.somebody("viewer", "looker")
    assert (await viewer.get(f"/acts/{act_id}"))[0] == 403
    for nothing in ("999", "x", "9" * 40, "-1"):
        assert (await office.seat.get(f"/acts/{nothing}"))[0] == 404


async def test_plans_are_no_acts_and_are_forgotten_after_a_day(office: Office) -> None:
    old, _ = await office.planned()
    await office.pool.execute("UPDATE act SET at = at - interval '25 hours'")
    young, _ = await office.planned()
    assert (await office.seat.get(f"/acts/{old}"))[0] == 404
    assert (await office.seat.get(f"/acts/{young}"))[0] == 200
    assert await office.acts.on("O-1", 10) == []
    assert {act["action"] for act in await office.acts.newest()} <= {"account", "password"}


async def test_older_acts_are_found_page_by_page_each_once_while_more_are_done(office: Office) -> None:
    await office.pool.execute("DELETE FROM act")
    wanted = [f"A-{number:03}" for number in range(2 * LISTED + 20)]
    for target in wanted:
        await office.acts.record(Act("somebody", "operator", "approve", target, "because"), "accepted")
    # As those have that were done at the same moment.
    await office.pool.execute("UPDATE act SET at = date_trunc('minute', at)")
    seen: list[str] = []
    where = "/acts"
    while where:
        status, text = await office.seat.get(where)
        assert status == 200
        seen += re.findall(r'<a href="/orders/(A-\d+)">', text)
        await office.acts.record(Act("somebody", "operator", "approve", "later", "because"), "accepted")
        found = re.search(r'href="(/acts\?before=\d+)">Older<', text)
        where = found[1] if found else ""
    assert seen == wanted[::-1]
    for nothing in ("x", "9" * 40):
        assert (await office.seat.get(f"/acts?before={nothing}"))[0] == 200
    assert "Nothing was done before that" in (await office.seat.get("/acts?before=999999"))[1]


async def test_who_makes_an_account_or_changes_it_says_why_and_both_stand_in_the_record(office: Office) -> None:
    for reason in ("", "  ", "x" * 1001, "a\0b"):
        status, text = await office.seat.send("/accounts", {"name": "fresh", "role": "viewer", "reason": reason})
        assert (status, "Say why" in text) == (400, True)
    assert [account["name"] for account in await office.room.store.accounts()] == ["admin", "somebody"]
    for role, why in (("viewer", "joins the desk"), ("support", "is trained"), ("support", "forgot it")):
        status, text = await office.seat.send("/accounts", {"name": "fresh", "role": role, "reason": why})
        assert (status, "one-time password of fresh" in text) == (200, True)
    found = await office.pool.fetch("SELECT account, role, reason, outcome FROM act WHERE target = 'fresh' ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("somebody", "operator", "joins the desk", "made; viewer, with a one-time password"),
        ("somebody", "operator", "is trained", "was viewer; support, with a one-time password"),
        ("somebody", "operator", "forgot it", "a new password; support, with a one-time password"),
    ]
    status, text = await office.seat.get("/acts")
    assert (status, "joins the desk" in text, "is trained" in text) == (200, True, True)
    support = await office.room.somebody("support", "desk")
    answer = await support.post("/accounts", {"name": "desk", "role": "operator", "reason": "I would like to"})
    assert answer.status == 403


async def test_an_account_is_changed_and_on_record_or_neither(office: Office) -> None:
    await office.pool.execute("ALTER TABLE act ADD CONSTRAINT full_disk CHECK (target <> 'fresh')")
    answer = await office.seat.post("/accounts", {"name": "fresh", "role": "viewer", "reason": "joins"})
    assert answer.status == 503
    assert [account["name"] for account in await office.room.store.accounts()] == ["admin", "somebody"]


async def test_who_works_at_the_host_and_who_chooses_a_password_of_their_own_are_on_record_too(office: Office) -> None:
    found = await office.pool.fetch("SELECT account, action, target, outcome FROM act ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("(at the host)", "account", "somebody", "made; operator, with a one-time password"),
        ("somebody", "password", "somebody", "changed"),
    ]
