"""The words of a script: what each of its entries does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from contracts.envelope import headers_for
from contracts.registry import COMMANDS
from contracts.topics import ORDERS_OPERATIONS
from messaging.partitioner import partition_of
from simulation.parts import SERVICES
from simulation.process import Lane

if TYPE_CHECKING:
    from simulation.campaign.run import Run

#: An outbox keeps what was published for longer than this.
KEPT_FOR_SURE: Final = timedelta(seconds=20)
_TOPIC_OF: Final = {name: topic for topic, commands in COMMANDS.items() for name in commands}


def say(run: Run, key: str, kind: str, data: Any, id: str, source: str = "shop", partition: int | None = None) -> None:
    """Somebody sends a command. On a `partition` that is not its key's, because their partitioner is another one."""
    envelope = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": kind,
        "subject": key,
        "time": run.system.now.isoformat(),
        "data": data,
    }
    topic = _TOPIC_OF[kind]
    run.system.raw(topic, key.encode(), json.dumps(envelope).encode(), headers_for(kind), partition)
    if partition is not None and partition != partition_of(key, run.script.partitions):
        run.faults.happened("foreign-partition")
    if topic == ORDERS_OPERATIONS:
        run.faults.happened("operator")


def say_again(run: Run, key: str, kind: str, data: Any, id: str, source: str = "shop") -> None:
    """A client that does not know whether it was heard says the same again."""
    say(run, key, kind, data, id, source)
    run.faults.happened("duplicate-command")


def raw(run: Run, topic: str, key: str | None, value: str | None, partition: int) -> None:
    """Somebody sends what makes no sense."""
    told = None if value is None else value.encode("latin-1", errors="replace")
    run.system.raw(topic, None if key is None else key.encode(), told, (), partition % run.script.partitions)
    run.faults.happened("hostile-record")


def again(run: Run, topic: str, number: int) -> None:
    """A record is there once more: its publisher did not know that it was there."""
    records = [record for record in run.system.records(topic) if record.value is not None]
    if records:
        found = records[number % len(records)]
        run.system.raw(topic, found.key, found.value, found.headers, found.partition)
        run.faults.happened("duplicate-record")


def arm(run: Run, kind: str, service: str, argument: Any = None) -> None:
    """The next time that this can go wrong, it does."""
    run.faults.arm(kind, service, argument)


def early(run: Run, service: str) -> None:
    """A timer of the service fires before its time."""
    run.faults.arm("timer-early", service)
    for lane in run.lanes(service):
        if lane.worker.next_due is not None:
            lane.worker.next_due = run.system.now
            lane.stir()


def crash(run: Run, service: str) -> None:
    """The service's processes die between two steps."""
    if run.system.alive(service):
        run.system.down(service)
        run.faults.happened("crash-idle")


def down(run: Run, service: str) -> None:
    """The service is down until it is brought up."""
    run.down.add(service)
    if run.system.alive(service):
        run.system.down(service)
        run.faults.happened("down")


def up(run: Run, service: str) -> None:
    """The service is up again."""
    run.down.discard(service)
    run.system.up(service)


def gateway(run: Run, away: bool) -> None:
    """No call gets through to the gateway, or they do again."""
    run.faults.ledger.away = away


def mail(run: Run, away: bool) -> None:
    """The mail server does not answer, or does again."""
    run.system.mailbox.away = away


def hold(run: Run, service: str, topic: str, steps: int) -> None:
    """Nothing of a topic reaches the service for a while, though other topics do."""
    for lane in run.lanes(service):
        lane.held.add(topic)
        lane.stir()

        def let_through(lane: Lane = lane) -> None:
            waited = lane.holds_back(topic)
            lane.held.discard(topic)
            lane.stir()
            if waited:
                run.faults.happened("reorder")

        run.after(steps, let_through)


def stall(run: Run, service: str, steps: int) -> None:
    """The service's processes stand still for a while, and then go on as if nothing had been."""
    for lane in run.lanes(service):
        _put_to_sleep(run, lane, steps)


def _put_to_sleep(run: Run, lane: Lane, steps: int) -> None:
    lane.asleep = True
    lane.stir()

    def wake() -> None:
        lane.asleep = False
        lane.look()
        if lane.possible:
            run.faults.happened("delay")

    run.after(steps, wake)


def zombie(run: Run, service: str, partition: int, steps: int) -> None:
    """Another process takes a partition over, and the old owner, after standing still for a while, goes on with it."""
    if service in run.down:
        return
    number = partition % run.script.partitions
    for lane in run.lanes(service):
        if lane.worker.partition == number and steps and not lane.asleep:
            _put_to_sleep(run, lane, steps)
    run.system.take_over(service, [number])


def rewind(run: Run, service: str, topic: str) -> None:
    """The service reads a topic once more from its beginning."""
    if run.system.alive(service):
        run.system.down(service)
    ownership = run.system.parts.of[service].database.ownership
    for number, owned in list(ownership.items()):
        if owned.offsets.get(topic):
            ownership[number] = replace(owned, offsets={**owned.offsets, topic: 0})
            run.faults.happened("replay-topic")


def power_cut(run: Run, most: int) -> None:
    """The broker, and all of it, goes out before it has written down the last it acknowledged: up to `most` records of each topic,
    none older than what every outbox keeps. Everybody is there and asks at once, by a clock that is right; else nothing happens:
    what a service does not look at before others have filled the gap is promised by nobody (docs/guarantees.md)."""
    broker, lanes = run.system.broker, [lane for service in SERVICES for lane in run.lanes(service)]
    owned = all(run.system.owns_all(service) for service in SERVICES)
    if not owned or broker.partitions > 1 or any(lane.asleep for lane in lanes) or run.skewed:
        return
    since = run.system.now - KEPT_FOR_SURE
    gone = sum(broker.lose_tail(*place, since, run.faults.random.randint(0, most)) for place in broker.written)
    if gone:
        run.faults.happened("power-cut")
    for lane in lanes:
        lane.look_at_tail()


def poison(run: Run, service: str, key: str) -> None:
    """From now on the service's code fails with whatever concerns this key."""
    run.faults.poisoned[service].add(key)


def refuse(run: Run, service: str, key: str) -> None:
    """From now on the service's database refuses whatever concerns this key."""
    run.faults.refused[service].add(key)


def cure(run: Run) -> None:
    """The mistakes are mended: the services that had them are deployed anew, and the databases take everything."""
    for service in sorted(run.faults.poisoned):
        if run.faults.poisoned[service] and run.system.alive(service):
            run.system.down(service)
    run.faults.poisoned.clear()
    run.faults.refused.clear()


def redrive(run: Run, most: int) -> None:
    """An operator has dead letters handled again."""
    run.letters.redrive(run.faults, most)


def deploy(run: Run) -> None:
    """The orders service is deployed: today's release takes yesterday's partitions over, one after another."""
    release(run, old=False)


def roll_back(run: Run) -> None:
    """The release before is deployed again."""
    release(run, old=True)


def release(run: Run, old: bool) -> None:
    """A rolling deployment, with a little happening between one partition and the next."""
    if "orders" in run.down or run.faults.old == old:
        return
    open_orders = any(order["status"] not in ("COMPLETED", "CANCELLED", "FAILED") for order in run.system.orders())
    run.faults.old = old
    run.faults.happened("deploy-code")
    if open_orders:
        run.faults.happened("deploy-workflow")
    for number in range(run.script.partitions):
        run.system.leave("orders", number)
        run.system.take_over("orders", [number])
        run.steps(5)


def skew(run: Run, service: str, seconds: float) -> None:
    """The clocks of the service's processes are set."""
    run.skewed = True
    for process in run.system.processes:
        if process.service == service:
            process.ahead = timedelta(seconds=seconds)
            for lane in process.lanes:
                lane.stir()
    run.faults.happened("clock-ahead" if seconds > 0 else "clock-behind")


def steps(run: Run, count: int) -> None:
    """So much happens."""
    run.steps(count)


def passes(run: Run, seconds: float) -> None:
    """So much time passes."""
    run.pass_time(seconds)


WORDS: Final[Mapping[str, Callable[..., None]]] = {
    "say": say,
    "say-again": say_again,
    "raw": raw,
    "again": again,
    "arm": arm,
    "early": early,
    "crash": crash,
    "down": down,
    "up": up,
    "gateway": gateway,
    "mail": mail,
    "hold": hold,
    "stall": stall,
    "zombie": zombie,
    "rewind": rewind,
    "power-cut": power_cut,
    "poison": poison,
    "refuse": refuse,
    "cure": cure,
    "redrive": redrive,
    "deploy": deploy,
    "roll-back": roll_back,
    "skew": skew,
    "steps": steps,
    "pass": passes,
}
