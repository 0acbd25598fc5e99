"""A small shop under virtual time, to hold conversations with.

    with Shop() as shop:
        shop.given_order(items={"tea": 2})
        shop.expect_status("AWAITING_APPROVAL", "approval")
        shop.skip(minutes=15)
        shop.expect(inventory.ReleaseStock)
        shop.expect_outcome("CANCELLED", "approval-timeout")

Every service is the real one, unless the test plays it. Nothing here waits: a quarter of an hour takes a millisecond. See
docs/test-kit.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from types import TracebackType
from typing import Final, NamedTuple, Self, Unpack

from contracts.envelope import encode, headers_for
from contracts.orders import StartOrder
from contracts.registry import TYPE_OF
from contracts.values import CommandData, EventData
from simulation.kit.expectations import Expectations, Saying
from simulation.kit.words import ORDER, Asked, key_of, receive_stock, register_customer, start_order
from simulation.parts import SERVICES
from simulation.process import JUST_AFTER
from simulation.system import System


class Goods(NamedTuple):
    """What stands on a shelf."""

    pieces: int
    price_minor: int
    currency: str = "GBP"


#: What an open shop has. Two pieces of gold are the most that one order can ask for; of `last` there is one.
SHELVES: Final = {
    "tea": Goods(100, 250),
    "mug": Goods(10, 799),
    "last": Goods(1, 5_000),
    "pie": Goods(10, 300, "EUR"),
    "gold": Goods(10, 10**15 // 2),
}
#: What is outside the system, and can be down too.
GATEWAY: Final = "gateway"
MAIL_SERVER: Final = "mail-server"


class Shop(Expectations):
    """A system with goods on its shelves and one customer, ann. What the test does comes to rest before the next line runs; what
    can be expected stands in `Expectations`.

    `system`: one made otherwise, such as with a seed, or with faults. `version`: of the workflow, for orders that do not say.
    `played`: services that are not there, because the test speaks for them (see `reply`).

    As a context it is closed at its end: see `close`.
    """

    def __init__(
        self, system: System | None = None, *, version: int | None = None, played: Collection[str] = ()
    ) -> None:
        super().__init__(system or System(), played)
        self.version = version
        self._played = played
        self._replies = 0
        for service in played:
            self.system.down(service)
        for sku, goods in SHELVES.items():
            self.given_stock(sku, *goods)
        self.system.command("ann", register_customer("ann"))
        self.system.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    # --- given --------------------------------------------------------------------------------------------------------

    def given_stock(self, sku: str, pieces: int, price_minor: int, currency: str | None = None) -> None:
        """So many pieces came in, at that price."""
        self._talk.did(f"given {pieces} of {sku}", told=False)
        self.system.command(sku, receive_stock(sku, pieces, price_minor, currency))
        self.system.run()

    def given_order(self, order: str = ORDER, *, until: str | None = None, **asked: Unpack[Asked]) -> None:
        """An order that was accepted and went on as far as it does by itself; or only `until` it stands there, and nothing that
        follows from that has happened yet."""
        __tracebackhide__ = True
        if until is None:
            self.when(start_order(**asked), order=order).expect("accepted")
            return
        self.send(start_order(**asked), order=order)
        while order not in self.system.parts.orders.states or self.status(order) != until:
            if not self.system.step():
                self._fail(f"{order} to get to {until}", "it never did", order)

    # --- when ---------------------------------------------------------------------------------------------------------

    def when(self, data: CommandData, *, order: str = ORDER, id: str | None = None, source: str = "test") -> Saying:
        """Somebody says this, and what follows at once has happened. `id` and `source`: of the command, for saying it again."""
        said = self.send(data, order=order, id=id, source=source)
        self.system.run()
        return said

    def send(self, data: CommandData, *, order: str = ORDER, id: str | None = None, source: str = "test") -> Saying:
        """As `when`, but nothing happens yet: it stands on its topic, and is read with whatever comes next."""
        if isinstance(data, StartOrder) and data.workflow_version is None and self.version is not None:
            data = data.model_copy(update={"workflow_version": self.version})
        key = key_of(data, order)
        topic, name = TYPE_OF[type(data)]
        self._talk.did(f"{name} to {key}", told=False)
        command = self.system.command(key, data, id=id, source=source)
        return Saying(command, key, name, f"{topic.split('.', maxsplit=1)[0]}.events.v1", self)

    def reply(self, data: EventData, *, order: str = ORDER) -> None:
        """The test speaks for a service that it plays: it tells this of an order, and what follows at once has happened."""
        topic, name = TYPE_OF[type(data)]
        service = topic.split(".", maxsplit=1)[0]
        if service not in self._played:
            raise ValueError(f"{service} speaks for itself here; to play it, say Shop(played=({service!r},)).")
        self._replies += 1
        self._talk.did(f"{name} about {order}", told=False)
        value = encode(
            id=f"reply-{self._replies}",
            source=service,
            type=name,
            subject=order,
            data=data,
            time=self.system.now,
            correlationid=order,
            sequence=self._replies,
        )
        self.system.raw(topic, order.encode(), value, headers_for(name))
        self.system.run()

    # --- time ---------------------------------------------------------------------------------------------------------

    def skip(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        """Let time pass, with everything that happens in it; a deadline at its very end has passed, too. Without any: what can
        happen at once."""
        told = {"hours": hours, "minutes": minutes, "seconds": seconds}
        self._talk.did("skip " + (" ".join(f"{count:g} {unit}" for unit, count in told.items() if count) or "no time"))
        self.system.skip(timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds())
        following = self.system.next_at()
        if following is not None and following - self.system.now <= JUST_AFTER:
            self.system.skip(JUST_AFTER.total_seconds())

    def skip_until(
        self,
        fact: Callable[[], object] = lambda: True,
        *,
        status: str | None = None,
        waiting_for: str | None = None,
        order: str = ORDER,
        within_s: float = 3600,
    ) -> None:
        """Let time pass until the fact holds, the order has this status, waits for that. Fails where it does not within so much
        virtual time."""
        __tracebackhide__ = True

        def come() -> bool:
            there = status in (None, self.status(order)) and waiting_for in (None, self.waiting_for(order))
            return there and bool(fact())

        self._talk.did(f"skip until {status or waiting_for or 'a fact holds'}")
        try:
            self.system.until(come, within_s)
        except TimeoutError:
            self._fail(
                f"{order} to come to {status or waiting_for or 'the fact'}", f"it did not in {within_s} s", order
            )

    def finish(self) -> None:
        """Let time pass until nothing is left to happen. What is down stays down, and what waits for it goes on waiting."""
        self._talk.did("skip to the end")
        self.system.finish()

    # --- life and death -----------------------------------------------------------------------------------------------

    def down(self, *names: str) -> None:
        """These processes die as they stand; their databases stay. To `gateway` and `mail-server` no call gets through."""
        self._talk.did(f"down {' '.join(names)}")
        for name in names:
            if not self._set_away(name, away=True):
                self.system.down(name)

    def up(self, *names: str) -> None:
        """New processes take over (all that are down, where none is named), and what waited for them has happened."""
        self._talk.did(f"up {' '.join(names) or 'everything'}")
        for name in names or (*SERVICES, GATEWAY, MAIL_SERVER):
            if name not in self._played and not self._set_away(name, away=False):
                self.system.up(name)
        self.system.run()

    def crash(self, *services: str) -> None:
        """These processes die as they stand, and others take over at once."""
        self._talk.did(f"crash {' '.join(services)}")
        for service in services:
            self.system.crash(service)
        self.system.run()

    def close(self) -> None:
        """Everything comes up and goes on to its end; then every promise must hold (`expect_promises_kept`). Where the test plays a
        service nobody knows what stands in its books, so there is nothing to compare."""
        __tracebackhide__ = True
        self.up()
        if not self._played:
            self.finish()
            self.expect_promises_kept()

    def _set_away(self, name: str, *, away: bool) -> bool:
        if name == GATEWAY:
            self.system.gateway.away = away
        elif name == MAIL_SERVER:
            self.system.mailbox.away = away
        return name in (GATEWAY, MAIL_SERVER)
