"""A world in memory from a seed: a shop, a few orders, everything that may be said to them, and what goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from contracts.letters import Act, Letter, Word, bare_headers, word_headers
from contracts.topics import COMMAND_TOPICS
from contracts.values import CommandData
from messaging.ports import Record
from proof.conformance.brittle import MENDED_AT, Brittle
from proof.conformance.tape import HalfHeard, Tape, recorded
from proof.hostile.maker import Maker
from simulation import System
from simulation.kit import words
from simulation.parts import SERVICES
from simulation.system import Outside

ORDERS: Final = 6
DEEDS: Final = 40
_AFTERWARDS_S: Final = 2 * 3600.0
METHODS: Final = (
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_timeout",
    "pm_card_late",
    "pm_card_declined",
    "pm_refund_fails",
    "pm_refund_fails",
)


@dataclass(frozen=True, slots=True)
class World:
    """A simulated system, the tape of how it came there, and how its handlers were brittle."""

    system: System
    tape: Tape
    salt: int
    brittle_of: int


def live(seed: int) -> World:
    """The world of this seed, from its beginning to its end."""
    random = Random(seed)  # noqa: S311 - it must repeat, that is all
    unsure, of = random.choice((0.0, 0.0, 0.1, 0.3)), random.choice((0, 0, 0, 25))
    outside = Outside(publisher=lambda service, publisher: HalfHeard(publisher, random, unsure))
    with recorded(random, unsure, lambda handler: Brittle(handler, seed, of)) as tape:
        rate, partitions = random.choice((0.0, 0.3, 0.8)), random.choice((1, 2, 4))
        system = System(seed=seed, partitions=partitions, payment_failure_rate=rate, outside=outside)
        for key, data in _SHOP:
            system.command(key, data)
        _deeds(system, random, Maker(seed, tuple(sorted(COMMAND_TOPICS)), partitions, words=False))
        _to_the_end(system, random)
    return World(system, tape, seed, of)


_SHOP: Final[tuple[tuple[str, CommandData], ...]] = (
    ("ann", words.register_customer("ann")),
    ("bob", words.register_customer("bob", "Bob", "bob@shop.example")),
    ("tea", words.receive_stock("tea", 1_000, 250)),
    ("mug", words.receive_stock("mug", 10, 900)),
    ("pie", words.receive_stock("pie", 20, 300, "EUR")),
    ("gold", words.receive_stock("gold", 1_000, 5 * 10**14)),
)


def _deeds(system: System, random: Random, maker: Maker) -> None:
    down: set[str] = set()
    for number in range(DEEDS):
        order = f"O-{random.randrange(ORDERS)}"
        draw = random.random()
        if draw < 0.05:
            hostile = maker.make(number)
            system.raw(hostile.topic, hostile.key, hostile.value, hostile.headers, hostile.partition)
        elif draw < 0.12:
            _again(system, random)
        else:
            data = _anything(random)
            system.command(words.key_of(data, order), data)
        if random.random() < 0.2:
            _disturb(system, random, down)
        for _ in range(random.randrange(25)):
            system.step()
        if random.random() < 0.25:
            system.skip(random.choice((0.1, 0.5, 1, 3, 20, 100)))
    system.gateway.away = system.mailbox.away = False
    for service in SERVICES:
        system.up(service)


def _anything(random: Random) -> CommandData:
    return random.choice(_SAID)(random)


_OPERATIONS: Final[tuple[CommandData, ...]] = (
    words.cancel_by_operator(),
    words.pause(),
    words.resume(),
    words.resume(),
    words.retry_now(),
    words.resolve("retry"),
    words.resolve("settled", evidence="BANK-4711"),
)


_LINES: Final = (*(8 * ["tea"]), *(4 * ["mug"]), "pie", "ghost", "gold")


def _order(random: Random) -> CommandData:
    lines = [(random.choice(_LINES), random.randint(1, 2)) for _ in range(2)]
    asked: words.Asked = {
        "items": lines[: random.randint(1, 2)],
        "payment_method": random.choice(METHODS),
        "customer": random.choice(("ann", "ann", "ann", "bob", "bob", "nobody")),
    }
    if timeout_s := random.choice((None, None, 1, 300, 900)):
        asked["approval_timeout_s"] = timeout_s
    if version := random.choice((None, 1, 2)):
        asked["workflow_version"] = version
    return words.start_order(**asked)


#: What is said, as often as it stands here.
_SAID: Final[tuple[Callable[[Random], CommandData], ...]] = (
    *(5 * [_order]),
    *(3 * [lambda random: words.add_line(random.choice(("tea", "mug", "ghost", "pie", "gold")), random.randint(1, 6))]),
    *(9 * [lambda random: words.approve()]),
    *(3 * [lambda random: words.cancel()]),
    *(3 * [lambda random: random.choice(_OPERATIONS)]),
    lambda random: words.greet(random.choice(("ann", "bob"))),
    lambda random: words.receive_stock(random.choice(("tea", "mug", "cup")), random.randint(1, 9), 700),
    lambda random: words.adjust_stock(random.choice(("tea", "mug", "ghost")), random.choice((-12, -3, -1, 2, 5))),
    lambda random: words.erase_customer(random.choice(("ann", "bob"))),
    lambda random: words.register_customer(random.choice(("ann", "bob")), f"N{random.randrange(9)}"),
)


def _again(system: System, random: Random) -> None:
    """A record that stands on a topic already is there once more, as after a producer that was not answered."""
    old: Record = random.choice(system.broker.journal)
    if not old.topic.endswith(".dlq"):
        system.raw(old.topic, old.key, old.value, old.headers, old.partition)


def _disturb(system: System, random: Random, down: set[str]) -> None:
    draw, service = random.random(), random.choice(SERVICES)
    if draw < 0.2:
        system.gateway.away = not system.gateway.away
    elif draw < 0.3:
        system.mailbox.away = not system.mailbox.away
    elif service in down:
        system.up(service)
        down.remove(service)
    elif draw < 0.7:
        system.crash(service)
    else:
        system.down(service)
        down.add(service)


def _to_the_end(system: System, random: Random) -> None:
    """Nothing fails any more, the letters are answered, and time passes. Some orders wait for a person all the same: what they need
    was in a letter that was discarded."""
    system.skip(max(0.0, (MENDED_AT - system.now).total_seconds()))
    for order in system.orders():
        if order["paused"]:
            system.command(order["order_id"], words.resume())
    for letter, record in _letters(system):
        act: Act = random.choice(_ACTS)
        headers = [*bare_headers(record.headers), *word_headers(Word(letter, act, "op", "mended"))]
        system.raw(letter.topic, record.key, record.value, headers, letter.partition)
    system.skip(_AFTERWARDS_S)


_ACTS: Final[tuple[Act, ...]] = ("replay", "replay", "discard")


def _letters(system: System) -> list[tuple[Letter, Record]]:
    found = []
    for record in system.broker.journal:
        if record.topic.endswith(".dlq"):
            facts = {name: (value or b"").decode() for name, value in record.headers if name.startswith("dlq-")}
            service = record.topic.removesuffix(".dlq").rpartition(".")[2]
            place = int(facts["dlq-partition"]), int(facts["dlq-offset"])
            found.append((Letter(service, facts["dlq-topic"], *place), record))
    return found
