"""From a seed to a script: a shop, its customers and orders, what is said to them, and what goes wrong meanwhile."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from contracts.topics import COMMAND_TOPICS, EVENT_TOPICS, LETTERS_EVENTS, SUBSCRIPTIONS
from messaging.partitioner import partition_of
from simulation.campaign import kinds
from simulation.campaign.hostile import hostile
from simulation.campaign.script import Entry, Script
from simulation.parts import SERVICES

#: As many orders as a world has where nothing else is said.
ORDERS: Final = 40
METHODS: Final = (
    *("pm_card_visa",) * 5,
    "pm_card_timeout",
    "pm_card_late",
    "pm_card_declined",
    "pm_refund_fails",
    "pm_unheard_of",
)
#: Price and currency of what is on the shelves, and how many pieces for so many orders there are, in tenths.
SHELVES: Final = {
    "nut": (7, "GBP", 30),
    "mug": (799, "GBP", 6),
    "tea": (250, "GBP", 100),
    "pie": (300, "EUR", 10),
    "gold": (10**15 // 2, "GBP", 5),
}
CUSTOMERS: Final = ("ann", "bob", "cid")
_BY: Final = {"operator": "op", "reason": "ticket 7"}
_OPERATIONS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("orders.cancel-by-operator.v1", _BY),
    ("orders.pause-order.v1", _BY),
    ("orders.pause-order.v1", _BY),
    ("orders.resume-order.v1", _BY),
    ("orders.resume-order.v1", _BY),
    ("orders.retry-now.v1", _BY),
    ("orders.resolve-attention.v1", {**_BY, "resolution": "retry"}),
    ("orders.resolve-attention.v1", {**_BY, "resolution": "settled", "evidence": "BANK-4711"}),
)


def make(seed: int, orders: int = ORDERS) -> Script:
    """The script of a seed, always the same."""
    return _Maker(seed, orders).script()


class _Maker:
    def __init__(self, seed: int, orders: int) -> None:
        self._seed = seed
        self._orders = orders
        self._random = Random(f"script {seed}")  # noqa: S311 - it must repeat, that is all
        self._partitions = self._random.choice((1, 1, 1, 2, 2, 4))
        self._ids = 0
        self._said: list[Entry] = []
        #: Some worlds are calm, so that what goes wrong alone is seen too.
        self._roughness = self._random.choice((0.1, 0.3, 0.3, 0.6, 1.0))
        self._old = self._random.random() < 0.2
        #: Most worlds are under load: much is said before anything happens, and batches are large.
        self._coarse = self._random.random() < 0.75

    def script(self) -> Script:
        """A world, and what happens in it."""
        random = self._random
        ahead: dict[str, tuple[float, ...]] = {
            service: random.choice(((0.0, 3.0), (-5.0, 0.0, 0.5), (-60.0, 60.0)))
            for service in SERVICES
            if random.random() < 0.15 * self._roughness
        }
        return Script(
            seed=self._seed,
            entries=tuple(self._entries()),
            partitions=self._partitions,
            failure_rate=random.choice((0.0, 0.0, 0.3, 0.8)),
            old=self._old,
            coarse=self._coarse,
            together=self._partitions > 1,
            ahead=ahead,
        )

    def _entries(self) -> list[Entry]:
        entries = [*self._shop(), ("steps", 60)]
        lives = [self._life(f"O-{number}") for number in range(self._orders)]
        open_lives: list[list[Entry]] = []
        while lives or open_lives:
            if lives and len(open_lives) < (self._orders if self._coarse else 10):
                open_lives.append(lives.pop())
            life = self._random.choice(open_lives)
            if life:
                entries.append(life.pop(0))
            else:
                open_lives.remove(life)
            entries.extend(self._meanwhile())
        if self._old:
            entries.insert(self._random.randrange(len(entries) // 2, len(entries)), ("deploy",))
        return entries

    # --- what is said -------------------------------------------------------------------------------------------------

    def _shop(self) -> list[Entry]:
        entries = []
        for sku, (price, currency, tenths) in SHELVES.items():
            pieces = max(2, self._orders * tenths // 10)
            data = {"sku": sku, "quantity": pieces, "unit_price_minor": price, "currency": currency}
            entries.append(self._say(sku, "inventory.receive-stock.v1", data))
        return [*entries, *(self._registered(customer) for customer in CUSTOMERS)]

    def _registered(self, customer: str) -> Entry:
        data = {"customer_id": customer, "name": customer.title(), "email": f"{customer}@shop.example"}
        return self._say(customer, "customer.register-customer.v1", data)

    def _say(self, key: str, kind: str, data: Any, id: str | None = None) -> Entry:
        self._ids += 1
        said: Entry = ("say", key, kind, data, id or f"c-{self._ids}", self._random.choice(("shop", "shop", "web")))
        if self._partitions > 1 and self._random.random() < 0.03:
            said = (*said, (partition_of(key, self._partitions) + 1) % self._partitions)
        self._said.append(said)
        return said

    def _life(self, order: str) -> list[Entry]:
        """What is said to one order, in this order, with others in between."""
        random, entries = self._random, []
        if random.random() < 0.03:
            return [self._say(order, "orders.start-greet.v1", {"user_id": random.choice(CUSTOMERS)})]
        if random.random() < 0.03:
            entries.append(self._signal(order))
        entries.append(self._say(order, "orders.start-order.v1", self._order()))
        for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
            entries.append(self._signal(order))
        if random.random() < 0.75:
            entries.append(self._say(order, "orders.approve-payment.v1", {"approved_by": "boss"}))
        if random.random() < 0.12:
            # While the money is being taken, so that some of it has to be given back.
            entries.append(self._say(order, "orders.cancel-order.v1", {"reason": "changed my mind"}))
        elif random.random() < 0.2:
            entries.append(self._signal(order))
        return entries

    def _order(self) -> dict[str, Any]:
        random = self._random
        skus = random.choice((["nut"], ["nut"], ["tea"], ["nut", "mug"], ["tea", "nut", "tea"], ["mug"], ["pie"]))
        if random.random() < 0.03:
            skus = [random.choice(("ghost", "gold"))] * random.choice((1, 3))
        asked: dict[str, Any] = {
            "customer_id": random.choice(CUSTOMERS) if random.random() < 0.96 else "nobody",
            "items": [{"sku": sku, "quantity": random.randint(1, 3)} for sku in skus],
            "payment_method": random.choice(METHODS),
        }
        if timeout_s := random.choice((None, None, 1, 5, 30, 900)):
            asked["approval_timeout_s"] = timeout_s
        if version := random.choice((None, None, 1, 2)):
            asked["workflow_version"] = version
        if random.random() < 0.03:
            asked["currency"] = random.choice(("GBP", "EUR"))
        return asked

    def _signal(self, order: str) -> Entry:
        random = self._random
        match random.choice("aaaccoooonns"):
            case "a":
                sku = random.choice(("nut", "tea", "mug", "ghost", "pie"))
                return self._say(order, "orders.add-line-item.v1", {"sku": sku, "quantity": random.randint(1, 4)})
            case "c":
                return self._say(order, "orders.cancel-order.v1", {"reason": "changed my mind"})
            case "o":
                return self._say(order, *random.choice(_OPERATIONS))
            case "n":
                return self._say(order, "orders.approve-payment.v1", {"approved_by": "boss"})
            case _:
                return self._say(order, "orders.start-order.v1", self._order())

    # --- what happens meanwhile ---------------------------------------------------------------------------------------

    def _meanwhile(self) -> list[Entry]:
        random = self._random
        entries = []
        if random.random() < 0.5 * self._roughness:
            entries.append(random.choice(_TROUBLES)(self))
        count = random.choice((*(0,) * 22, 25, 60, 150) if self._coarse else (0, 0, 2, 6, 15, 40))
        if count:
            entries.append(("steps", count))
        if random.random() < (0.04 if self._coarse else 0.12):
            entries.append(("pass", random.choice((0.1, 1, 1, 3, 20, 200))))
        if random.random() < 0.05:
            entries.append(self._shopkeeping())
        return entries

    def _shopkeeping(self) -> Entry:
        random = self._random
        match random.choice("rrace"):
            case "r":
                sku = random.choice(tuple(SHELVES))
                return self._say(sku, "inventory.receive-stock.v1", {"sku": sku, "quantity": random.randint(1, 5)})
            case "a":
                sku = random.choice((*SHELVES, "ghost"))
                data = {"sku": sku, "delta": random.choice((-3, -1, 1)), "reason": "counted"}
                return self._say(sku, "inventory.adjust-stock.v1", data)
            case "c":
                return self._registered(random.choice(CUSTOMERS))
            case _:
                data = {"customer_id": "cid", "operator": "op", "reason": "asked us to"}
                return self._say("cid", "customer.erase-customer.v1", data)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _service(self) -> str:
        return self._random.choice((*SERVICES, "orders", "orders", "inventory", "payment", "payment"))

    def _topic_of(self, service: str) -> str:
        return self._random.choice(SUBSCRIPTIONS[service])

    def _armed(self) -> Entry:
        return "arm", self._random.choice(_ARMED), self._service()

    def _called(self) -> Entry:
        return "arm", "crash-after-call", self._random.choice(("payment", "payment", "notification"))

    def _timed(self) -> Entry:
        kind, service = self._random.choice(kinds.TIMERS), self._random.choice(_WITH_TIMERS)
        return ("early", service) if kind == "timer-early" else ("arm", kind, service)

    def _stormy(self) -> Entry:
        random = self._random
        match random.choice("dddslrt"):
            case "d":
                return "gateway", random.random() < 0.5
            case "s":
                return "arm", "gateway-slow", "payment", random.choice((0.5, 1.5, 3.0))
            case "l":
                return "arm", "gateway-answer-lost", "payment"
            case "t":
                return "arm", "gateway-late", "payment", random.choice((3, 10, 60, 300))
            case _:
                return "arm", "refund-fails", "payment"

    def _mailed(self) -> Entry:
        return "mail", self._random.random() < 0.5

    def _recorded(self) -> Entry:
        random = self._random
        if random.random() < 0.4:
            return "say-again", *random.choice(self._said)[1:6]
        if random.random() < 0.5:
            topic = random.choice(sorted((COMMAND_TOPICS | EVENT_TOPICS) - {LETTERS_EVENTS}))
            return "again", topic, random.randrange(1000)
        topic, key, value = hostile(random, f"O-{random.randrange(self._orders)}")
        return "raw", topic, key, value, random.randrange(4)

    def _rewound(self) -> Entry:
        service = self._service()
        return "rewind", service, self._topic_of(service)

    def _cut(self) -> Entry:
        return "power-cut", self._random.choice((1, 3, 10))

    def _held(self) -> Entry:
        service = self._random.choice(("orders", "orders", "inventory", "customer", "notification"))
        return "hold", service, self._topic_of(service), self._random.choice((5, 20, 100))

    def _downed(self) -> Entry:
        return self._random.choice(("down", "up", "up", "crash", "crash")), self._service()

    def _stood(self) -> Entry:
        return "stall", self._service(), self._random.choice((5, 20, 100))

    def _replaced(self) -> Entry:
        return "zombie", self._service(), self._random.randrange(4), self._random.choice((0, 0, 5, 20, 60))

    def _skewed(self) -> Entry:
        return "skew", self._service(), self._random.choice((-60.0, -5.0, -0.5, 0.5, 5.0, 60.0))

    def _poisoned(self) -> Entry:
        random = self._random
        key = f"O-{random.randrange(self._orders)}"
        match random.choice("pprccdd"):
            case "p":
                return "poison", self._service(), key
            case "r":
                return "refuse", self._service(), key
            case "c":
                return ("cure",)
            case _:
                return "redrive", random.choice((1, 10))

    def _released(self) -> Entry:
        return self._random.choice((("deploy",), ("roll-back",))) if self._old else self._replaced()


_ARMED: Final = (
    *(kind for kind in kinds.CRASHES if kind not in ("crash-idle", "crash-after-call")),
    *kinds.COMMITS,
    *kinds.PUBLISHES,
)
_WITH_TIMERS: Final = ("orders", "orders", "orders", "inventory", "payment", "notification")
_TROUBLES: Final = (
    *(_Maker._armed,) * 5,
    _Maker._called,
    *(_Maker._timed,) * 2,
    *(_Maker._stormy,) * 3,
    _Maker._mailed,
    *(_Maker._recorded,) * 2,
    _Maker._rewound,
    _Maker._cut,
    _Maker._held,
    *(_Maker._downed,) * 2,
    _Maker._stood,
    *(_Maker._replaced,) * 2,
    _Maker._skewed,
    _Maker._poisoned,
    _Maker._released,
)
