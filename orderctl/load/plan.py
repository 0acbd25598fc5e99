"""What a load run sends and when. Pure: the same plan gives the same commands at the same times, always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import ApprovePayment, CancelOrder, StartOrder
from contracts.values import DEFAULT_CURRENCY, MAX_LINES, MAX_QUANTITY, CommandData, Item
from orderctl.command import Command
from orderctl.settings import DEFAULT_BOOTSTRAP, DEFAULT_ORDERS_API

SOURCE: Final = "orderctl-load"
DECLINED: Final = "pm_card_declined"
#: Room for `-000000-approve` behind it within the 64 characters of an id.
MAX_RUN_ID: Final = 40


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes."""

    bootstrap_servers: str = DEFAULT_BOOTSTRAP
    orders_api_url: str = DEFAULT_ORDERS_API
    connect_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A run. `run_id` stands at the head of all its ids: a run with the same id is the same run sent again.

    With `rate_per_s` above 0 the orders arrive at random (Poisson) at that rate, whether or not the system keeps up (an
    open loop), and latency counts from the moment at which an order was meant to be sent. With 0 they are sent as fast as
    possible with at most `max_open` unfinished. Of the orders, `cancel_rate` are cancelled (half of them instead of being
    approved, half of them right after that), `decline_rate` pay with a card that is declined, and `unapproved_rate` nobody
    approves, so that they end by `approval_timeout_s`. `timeout_s` is how long to
    wait for the rest after the last order was sent, `retry_s` how long the broker may be away.
    """

    run_id: str
    orders: int
    rate_per_s: float = 0.0
    max_open: int = 500
    approve: bool = True
    cancel_rate: float = 0.0
    decline_rate: float = 0.0
    unapproved_rate: float = 0.0
    payment_method: str = "pm_card_visa"
    items_per_order: int = 1
    skus: int = 20
    customers: int = 10
    stock_per_sku: int | None = None
    currency: str = DEFAULT_CURRENCY
    unit_price_minor: int = 1_000
    approval_timeout_s: int = 900
    workflow_version: int | None = None
    setup: bool = True
    seed: int = 1
    timeout_s: float = 60.0
    retry_s: float = 120.0
    record: Path | None = None
    target: Target = field(default_factory=Target)

    def __post_init__(self) -> None:
        bounds = (
            ("run_id", 1 <= len(self.run_id) <= MAX_RUN_ID, f"1 to {MAX_RUN_ID} characters"),
            ("orders", 0 <= self.orders <= 10_000_000, "from 0 to 10,000,000"),
            ("rate_per_s", self.rate_per_s >= 0, "0 or more"),
            ("max_open", self.max_open >= 1, "1 or more"),
            ("cancel_rate", 0 <= self.cancel_rate <= 1, "from 0 to 1"),
            ("decline_rate", 0 <= self.decline_rate <= 1, "from 0 to 1"),
            ("unapproved_rate", 0 <= self.unapproved_rate <= 1, "from 0 to 1"),
            ("items_per_order", 1 <= self.items_per_order <= MAX_LINES, f"from 1 to {MAX_LINES}"),
            ("skus", 1 <= self.skus <= 100_000, "from 1 to 100,000"),
            ("customers", 1 <= self.customers <= 100_000, "from 1 to 100,000"),
            ("timeout_s", self.timeout_s > 0, "above 0"),
        )
        for name, fine, allowed in bounds:
            if not fine:
                raise ValueError(f"{name} must be {allowed}, not {getattr(self, name)!r}")

    def sku(self, number: int) -> str:
        """The name of a SKU. Runs share their SKUs, so that the shop does not fill with them."""
        return f"LOAD-{number:05d}"

    def customer(self, number: int) -> str:
        """The id of a customer."""
        return f"load-customer-{number:05d}"


@dataclass(frozen=True, slots=True)
class OrderScript:
    """An order to be sent: its commands in order, the first of them start-order, `due_s` after the beginning."""

    order_id: str
    due_s: float
    commands: tuple[Command, ...]


def scripts(plan: LoadPlan) -> Iterator[OrderScript]:
    """The orders of the run, by time."""
    # Not for secrets; and a generator of its own for arrivals, so that the rate does not change what is ordered.
    arrivals, choices = Random(plan.seed), Random(plan.seed + 1)  # noqa: S311
    due_s = 0.0
    for number in range(plan.orders):
        if plan.rate_per_s:
            due_s += arrivals.expovariate(plan.rate_per_s)
        order_id = f"{plan.run_id}-{number:06d}"
        yield OrderScript(order_id, due_s, _commands(plan, order_id, choices))


def _commands(plan: LoadPlan, order_id: str, choices: Random) -> tuple[Command, ...]:
    count, stock = plan.items_per_order, range(plan.skus)
    numbers = choices.sample(stock, count) if count <= plan.skus else choices.choices(stock, k=count)
    customer = plan.customer(choices.randrange(plan.customers))
    cancelled, declined = choices.random() < plan.cancel_rate, choices.random() < plan.decline_rate
    instead = choices.random() < 0.5
    # Drawn only where it is asked for: a plan without it orders what it always ordered.
    forgotten = plan.unapproved_rate > 0 and choices.random() < plan.unapproved_rate
    start = StartOrder(
        customer_id=customer,
        items=tuple(Item(sku=plan.sku(number), quantity=1) for number in numbers),
        workflow_version=plan.workflow_version,
        approval_timeout_s=plan.approval_timeout_s,
        payment_method=DECLINED if declined else plan.payment_method,
    )
    commands = [_command(order_id, "start", start)]
    if plan.approve and not forgotten and not (cancelled and instead):
        commands.append(_command(order_id, "approve", ApprovePayment(approved_by=SOURCE)))
    if cancelled:
        commands.append(_command(order_id, "cancel", CancelOrder(reason="load")))
    return tuple(commands)


def _command(order_id: str, what: str, data: CommandData) -> Command:
    return Command(f"{order_id}-{what}", order_id, data, SOURCE)


def setup_commands(plan: LoadPlan) -> Iterator[Command]:
    """The customers, and stock for all that the run orders (or `stock_per_sku` of each SKU, to let some run out)."""
    demand: Counter[str] = Counter()
    for script in scripts(plan):
        start = script.commands[0].data
        if isinstance(start, StartOrder):
            demand.update(item.sku for item in start.items)
    for number in range(plan.customers):
        customer = plan.customer(number)
        data = RegisterCustomer(customer_id=customer, name=f"Load {number}", email=f"{customer}@example.com")
        yield Command(f"{plan.run_id}-customer-{number}", customer, data, SOURCE)
    for sku in sorted(demand):
        wanted = demand[sku] if plan.stock_per_sku is None else plan.stock_per_sku
        receipts = [MAX_QUANTITY] * (wanted // MAX_QUANTITY) + (
            [wanted % MAX_QUANTITY] if wanted % MAX_QUANTITY else []
        )
        for part, quantity in enumerate(receipts):
            received = ReceiveStock(
                sku=sku,
                quantity=quantity,
                unit_price_minor=plan.unit_price_minor,
                currency=plan.currency,
                description=f"Load item {sku}",
            )
            yield Command(f"{plan.run_id}-{sku}-{part}", sku, received, SOURCE)
