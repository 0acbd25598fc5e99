"""The system under test: every service, a broker, databases, a payment gateway and a mail server, under a clock that waits for you.

    system = System()
    system.command("A-1", ReceiveStock(sku="A-1", quantity=10, unit_price_minor=250))
    system.command("O-1", StartOrder(customer_id="C-1", items=(Item(sku="A-1", quantity=2),)))
    system.run()
    assert system.order("O-1")["waiting_for"] == "approval"
    system.skip(901)
    assert system.order("O-1")["reason"] == "approval-timeout"

The same calls give the same run, to the last id. With a seed, what happens at the same time happens in an order that the seed
decides, and polls bring as much or as little as they may in life.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from audit.rules import Breach, Terms, check
from contracts.envelope import encode, header, headers_for
from contracts.registry import TYPE_OF
from contracts.topics import DEFAULT_PARTITIONS, ORDERS_EVENTS
from contracts.values import DEFAULT_CURRENCY, CommandData
from messaging.handler import Handler, Performer
from messaging.memory import MemoryStore
from messaging.partitioner import partition_of
from messaging.ports import Headers, Publisher, Record, Store
from services.orders.store import parse_order
from services.payment.gateway.ledger import Entry
from simulation import views
from simulation.clock import VirtualClock, finish
from simulation.facts import books
from simulation.journal import JournalBroker
from simulation.mailbox import KeptMail, Mailbox
from simulation.parts import SERVICES, OpenLedger, Parts
from simulation.process import Killed, Lane, Process
from simulation.schedule import Action, InTurn, Scheduler, Shuffled
from simulation.tape import tape_of
from simulation.views import Event, ToldVerdict

#: So many steps without rest are a system that never comes to rest.
MAX_STEPS: Final = 1_000_000
#: While services may be down, nothing is too late.
UNFINISHED: Final = Terms(grace_s=float(10**9))


@dataclass(frozen=True, slots=True)
class Outside:
    """Where faults can be put in: each function is given a service's name and the service's own, and returns the one to be used,
    for every process (handler, performer) or every partition of every process (store, publisher) anew. `ahead`: by how much
    the clock of a new process of the service is fast."""

    store: Callable[[str, Store], Store] = field(default=lambda service, store: store)
    publisher: Callable[[str, Publisher], Publisher] = field(default=lambda service, publisher: publisher)
    handler: Callable[[str, Handler], Handler] = field(default=lambda service, handler: handler)
    performer: Callable[[str, Performer], Performer] = field(default=lambda service, performer: performer)
    ahead: Callable[[str], timedelta] = field(default=lambda service: timedelta())
    ledger: Callable[[], OpenLedger] = OpenLedger


class System:
    """See the module. Times are virtual; nothing here waits."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        partitions: int = DEFAULT_PARTITIONS,
        payment_failure_rate: float = 0.0,
        default_currency: str = DEFAULT_CURRENCY,
        scheduler: Scheduler | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.broker = JournalBroker(self.clock, partitions)
        self._outside = outside or Outside()
        self.parts = Parts(self.clock, payment_failure_rate, default_currency, self._outside.ledger())
        self.trace: list[str] = []
        self._scheduler = scheduler or (InTurn() if seed is None else Shuffled(seed))
        self._commands = 0
        #: All that live, the oldest first. Of two that think they own a partition, the one that took it over last does.
        self.processes: list[Process] = []
        self._owner: dict[tuple[str, int], Process] = {}
        self._lanes: list[Lane] = []
        for service in SERVICES:
            self.up(service)

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self.clock.now()

    @property
    def mailbox(self) -> Mailbox:
        """The mail server; `mailbox.away = True` makes it unreachable."""
        return self.parts.mailbox

    @property
    def gateway(self) -> OpenLedger:
        """The payment gateway's side; `gateway.away = True` makes it unreachable."""
        return self.parts.ledger

    # --- what clients do ----------------------------------------------------------------------------------------------

    def command(self, key: str, data: CommandData, *, source: str = "test", id: str | None = None) -> str:
        """Append a command to the topic where its type belongs, as any client would; returns its id. Nothing runs yet."""
        self._commands += 1
        command_id = id or f"cmd-{self._commands}"
        topic, message_type = TYPE_OF[type(data)]
        value = encode(
            id=command_id,
            source=source,
            type=message_type,
            subject=key,
            data=data,
            time=self.now,
            correlationid=key,
        )
        self.raw(topic, key.encode(), value, headers_for(message_type))
        return command_id

    def raw(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Record:
        """Append any record at all, on the partition of its key unless another one is named."""
        return self.broker.append(topic, key, value, headers, partition)

    # --- time ---------------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Let one thing happen, if anything can without time passing. Returns whether it did."""
        now = self.clock.now()
        actions: list[Action] = []
        for lane in self._lanes:
            if lane.stirred or (lane.wake_at is not None and lane.wake_at <= now):
                lane.look()
            actions += lane.possible
        if not actions:
            return False
        self.do(self._scheduler.choose(actions))
        return True

    def do(self, chosen: Action) -> None:
        """Let this happen. A process that dies of it is gone, and what a process has found out to be another's it lets go."""
        self.trace.append(f"{self.now.isoformat()} {chosen}")
        process = chosen.process
        assert process is not None, "only what a lane offers can happen"
        try:
            chosen.do()
        except Killed:
            self.kill(process)
        if process.lost:
            self._let_go(process)

    def run(self) -> None:
        """Let happen what can without time passing."""
        for _ in range(MAX_STEPS):
            if not self.step():
                return
        raise RuntimeError(f"The system does not come to rest; it goes on with {self.trace[-1]}.")

    def skip(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        self.run()
        end = self.now + timedelta(seconds=seconds)
        while (following := self.next_at()) is not None and following <= end:
            self._pass_to(following)
        self._pass_to(end)

    def until(self, fact: Callable[[], object], within_s: float = 3600) -> None:
        """Let time pass until the fact holds. Raises `TimeoutError` where it does not within so much virtual time."""
        self.run()
        end = self.now + timedelta(seconds=within_s)
        while not fact():
            following = self.next_at()
            if following is None or following > end:
                raise TimeoutError(f"This was not so within {within_s} s of virtual time.")
            self._pass_to(following)

    def finish(self, within_s: float = 3_000_000) -> None:
        """Let time pass until nothing is left to happen: every order has ended. Raises `TimeoutError`."""
        self.run()
        while self.next_at() is not None:
            self.until(lambda: self.next_at() is None, within_s)
            # Where it is not heard of that a publish was recorded, it is done again.
            self.tidy()

    def next_at(self) -> datetime | None:
        """When something happens next by time alone; None: never."""
        for lane in self._lanes:
            if lane.stirred or (lane.wake_at is not None and lane.wake_at <= self.now):
                lane.look()
        return min((lane.wake_at for lane in self._lanes if lane.wake_at is not None), default=None)

    def tidy(self) -> None:
        """Every process records what it does now and then: how far it has read and published."""
        for process in list(self.processes):
            try:
                process.tidy()
            except Killed:
                self.kill(process)
            if process.lost:
                self._let_go(process)

    def _pass_to(self, at: datetime) -> None:
        self.clock.move_to(max(at, self.now))
        self.tidy()
        self.run()

    # --- life and death -----------------------------------------------------------------------------------------------

    def alive(self, service: str) -> bool:
        """Whether the service has a process."""
        return any(process.service == service for process in self.processes)

    def owns_all(self, service: str) -> bool:
        """Whether every partition of the service has a living owner."""
        return all(self._owner.get((service, n)) in self.processes for n in range(self.broker.partitions))

    def down(self, service: str) -> None:
        """The service's processes die as they stand. Its database and the outside keep what they have."""
        if not self.alive(service):
            raise KeyError(f"{service} is down already")
        for process in [found for found in self.processes if found.service == service]:
            self.kill(process)

    def kill(self, process: Process) -> None:
        """A process dies as it stands. Nobody takes over what it had until the service comes `up`."""
        if process in self.processes:
            self.processes.remove(process)
            process.die()
            self._count_lanes()

    def up(self, service: str) -> None:
        """A new process of the service takes over whatever has no living owner. Harmless where there is nothing."""
        orphans = [n for n in range(self.broker.partitions) if self._owner.get((service, n)) not in self.processes]
        if orphans:
            self.take_over(service, orphans)

    def take_over(self, service: str, partitions: Collection[int]) -> None:
        """A new process of the service takes these partitions over. Whoever had them lives on, and has yet to find out."""
        part, outside = self.parts.of[service], self._outside
        process = Process(
            outside.handler(service, part.handler()),
            outside.performer(service, part.performer()),
            lambda: outside.store(service, MemoryStore(part.database)),
            lambda: outside.publisher(service, self.broker),
            self.broker,
            self.clock,
            self._scheduler,
            partitions,
            outside.ahead(service),
        )
        self._owner.update({(service, number): process for number in partitions})
        self.processes.append(process)
        self._count_lanes()

    def leave(self, service: str, partition: int) -> None:
        """The service's processes give a partition up in good order. Nobody has it then."""
        for process in [found for found in self.processes if found.service == service]:
            try:
                process.leave(partition)
            except Killed:
                self.kill(process)
            if process.lost:
                self._let_go(process)
        self._owner.pop((service, partition), None)

    def crash(self, service: str) -> None:
        """The service's processes die as they stand, and another one takes over at once."""
        self.down(service)
        self.up(service)

    def _let_go(self, process: Process) -> None:
        process.let_go()
        if not process.lanes:
            self.kill(process)
        self._count_lanes()

    def _count_lanes(self) -> None:
        self._lanes = [lane for process in self.processes for lane in process.lanes]

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def order(self, order_id: str) -> dict[str, Any]:
        """As `GET /orders/{id}` reads. Raises `KeyError` where there is no such order."""
        return views.order_view(parse_order(self.parts.orders.states[order_id][0]))

    def orders(self) -> list[dict[str, Any]]:
        """Every order, the first one first."""
        return [self.order(order_id) for order_id in self.parts.orders.states]

    def history(self, order_id: str) -> list[dict[str, Any]]:
        """As the items of `GET /orders/{id}/history` read."""
        partition = partition_of(order_id, self.broker.partitions)
        database = self.parts.of["orders"].database
        return views.history_view(self.parts.orders.history.get(order_id, []), partition, database)

    def tape(self, order_id: str) -> list[dict[str, Any]]:
        """As the items of `GET /orders/{id}/tape` read. Raises `KeyError` where there is no such order."""
        self.tidy()
        return tape_of(self.parts, self.order(order_id), self.history(order_id), self.now)

    def events(self, key: str, topic: str = ORDERS_EVENTS) -> list[Event]:
        """What was told under a key, in order; an event that was delivered twice counts once."""
        return views.events_of(self.broker.all_records(topic), key)

    def told(self, order_id: str) -> list[str]:
        """The types of an order's events, short: `order-started`, not `orders.order-started.v1`."""
        return [event.type.split(".")[1] for event in self.events(order_id)]

    def verdicts(self, order_id: str) -> list[ToldVerdict]:
        """The verdicts told under an order's id, in order."""
        return views.verdicts_of(self.events(order_id))

    def stock(self, sku: str) -> dict[str, Any]:
        """As `GET /skus/{sku}` reads. Raises `KeyError` where there is no such SKU."""
        return views.stock_view(self.parts.inventory.stock[sku])

    def charges(self, order_id: str | None = None) -> list[dict[str, Any]]:
        """As `GET /charges?order_id=` reads, of one order or of all."""
        found = self.parts.charges.all() if order_id is None else self.parts.charges.of_order(order_id)
        return [views.charge_view(charge) for charge in found]

    def gateway_entries(self, order_id: str | None = None) -> list[Entry]:
        """The money that moved, as the gateway has it, of one order or of all, the oldest first."""
        return finish(self.parts.gateway.entries(order_id))

    def mails(self, order_id: str) -> list[KeptMail]:
        """The mails that the customer got about an order."""
        return [mail for mail in self.mailbox.kept.values() if mail.order_id == order_id]

    def audit(self, *, finished: bool = True) -> list[Breach]:
        """The broken promises, by the audit's own rules. `finished`: nothing is under way (see `finish`), so everything can be
        compared and every order must have ended; otherwise only what must hold at every moment is judged."""
        self.tidy()
        found = books(self.parts, self.broker, self.clock, at_rest=finished)
        return check(found.orders, found.common, Terms(grace_s=0, expect_ended=True) if finished else UNFINISHED)

    def records(self, topic: str) -> list[Record]:
        """Everything that stands on a topic, repeats and dead letters too."""
        return self.broker.all_records(topic)

    def dead_letters(self) -> list[tuple[str, str]]:
        """Where dead letters stand, and why each one does."""
        found = [record for record in self.broker.journal if record.topic.endswith(".dlq")]
        return sorted((record.topic, header(record.headers, "dlq-reason") or "") for record in found)
