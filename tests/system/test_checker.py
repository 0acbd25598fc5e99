"""The model checker: nothing is wrong in any world of the small scenarios, every cell of every party's table is accounted for, and
what is made wrong on purpose is found, by the shortest way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.inventory import ReleaseStock
from messaging.decision import Decision
from services.inventory import domain as inventory
from services.inventory.ledger import Changes
from services.orders.domain import compensation, decide
from services.orders.domain.state import Order
from services.orders.store import dump_order, parse_order
from services.payment import domain as payment
from services.payment.gateway.domain import Method
from services.payment.state import End, Status
from simulation.checker import canon
from simulation.checker.parties import Ordered, Parties
from simulation.checker.proof import prove
from simulation.checker.scenarios import SMALL
from simulation.checker.search import Search, Violation, search
from simulation.checker.world import Budget, Known, Record, Room, Scenario

FAST_GATE = 100_000


def test_nothing_is_wrong_in_any_world_of_the_small_scenarios_and_every_cell_is_accounted_for(tmp_path: Path) -> None:
    proof = prove([(scenario, None) for scenario in SMALL], tmp_path, afresh=True, progress=print)
    assert proof.holds, str(proof)
    assert all(found["exhausted"] for found in proof.searches)
    assert proof.states >= FAST_GATE


def test_a_result_that_is_there_is_not_searched_for_again(tmp_path: Path) -> None:
    job = (Scenario("tiny", Budget()), None)
    first = prove([job], tmp_path, afresh=False, progress=print)
    again = prove([job], tmp_path, afresh=False, progress=print)
    assert again.searches == first.searches  # down to the moment at which it was done


# --- what is made wrong is found --------------------------------------------------------------------------------------


def broken_promise(scenario: Scenario) -> Violation:
    """What the search tells of."""
    violation = search(scenario).violation
    assert violation is not None, "nothing was found"
    return violation


def test_money_that_comes_too_late_and_is_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway promises that a charge is cancelled and takes the money all the same; nobody gives it back."""
    late = {end: status for end, status in payment.AFTER_CHARGE[Status.VOIDED].items() if end is not End.CAPTURED}
    monkeypatch.setitem(payment.AFTER_CHARGE, Status.VOIDED, late)  # type: ignore[arg-type]
    violation = broken_promise(Scenario("late", Budget(cancels=1, faults=1)))
    assert violation.problems[0].startswith("gateway-agrees")
    assert "cancel is promised and not kept" in violation.way
    assert violation.way[-1] == "payment reads charge 1: captured"


def test_a_release_that_counts_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock is given back by a number instead of by what is held."""
    released = inventory._release

    def release(ledger: Any, order_id: str, data: ReleaseStock, now: Any) -> Decision[Changes]:
        key = (order_id, data.reservation_id)
        known = ledger.reservations.get(key)
        if known is not None and known.state == "released":
            held = {**ledger.reservations, key: replace(known, state="held")}
            return released(replace(ledger, reservations=held), order_id, data, now)
        return released(ledger, order_id, data, now)

    monkeypatch.setattr(inventory, "_release", release)
    violation = broken_promise(Scenario("twice", Budget(cancels=1, duplicates=1)))
    assert violation.problems[0].startswith("stock-is-conserved")
    assert violation.way == (
        "orders reads StartOrder from the client",
        "inventory reads ReserveStock",
        "orders reads CancelOrder (reason no) from the client",
        "inventory reads, and it will come again: ReleaseStock",
        "inventory reads once more ReleaseStock",
    )


def test_a_release_that_leaves_no_tombstone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reservation that comes after its release holds stock for a dead order."""
    released = inventory._release

    def release(ledger: Any, order_id: str, data: ReleaseStock, now: Any) -> Decision[Changes]:
        decision = released(ledger, order_id, data, now)
        stone = any(row.state == "tombstone" for row in decision.state.reservations.values())
        return replace(decision, state=Changes()) if stone else decision

    monkeypatch.setattr(inventory, "_release", release)
    # Requests of one order stand on one topic in their order: only a repeat comes after what follows it.
    violation = broken_promise(Scenario("no stone", Budget(cancels=1, lines=1, crashes=1, duplicates=1), pieces=1))
    assert violation.problems


def test_an_order_that_forgets_what_it_asked_to_be_held_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compensation, "_held_or_asked_for", lambda order: order.reservations)
    violation = broken_promise(Scenario("forgotten", Budget(cancels=1)))
    assert violation.problems[0].startswith("ended-holds-nothing")
    assert violation.way == (
        "orders reads StartOrder from the client",
        "orders reads CancelOrder (reason no) from the client",
        "inventory reads ReserveStock",
    )


def test_a_timer_that_is_not_set_anew_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fires for a step that is over, and nobody thinks of the step that is not."""
    arm = decide.__globals__["_arm"]

    def arm_once(order: Order, fired: bool, policies: Any) -> Any:
        return (replace(order, timer_at=None), ()) if fired else arm(order, fired, policies)

    monkeypatch.setitem(decide.__globals__, "_arm", arm_once)
    violation = broken_promise(Scenario("once", Budget()))
    assert violation.problems[0].startswith("deadline-while-open")
    assert violation.way[-1] == "orders reads its timer (order)"


# --- the ground that it stands on -------------------------------------------------------------------------------------


class Careful(Parties):
    """Decides on what a form stands for too, and compares."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.raw: dict[Any, Any] = {}
        self.compared = 0

    def _order(self, known: Known, record: Record) -> Ordered:
        return self._same(super()._order, (known,), record)  # type: ignore[no-any-return]

    def _inventory(self, stock: Any, room: Room, record: Record) -> Any:
        return self._same(super()._inventory, (stock, room), record)

    def _same(self, decides: Callable[..., Any], state: tuple[Any, ...], record: Record) -> Any:
        found = decides(*state, record)
        raw = self.raw.get(state[-1])
        if raw is not None:
            self.compared += 1
            assert decides(*state[:-1], raw, record) == found
        return found


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("line", Budget(cancels=1, lines=1, duplicates=1), version=2, pieces=1),
        Scenario("late", Budget(cancels=1, hastes=1)),
        Scenario("fails", Budget(cancels=1, faults=1), method=Method.REFUND_FAILS.value),
        Scenario("operators", Budget(hastes=1, odd=1), odd=("pause", "resume", "retry-now")),
    ],
    ids=lambda scenario: scenario.name,
)
def test_what_is_decided_on_a_form_is_decided_on_what_it_stands_for(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Search(scenario, parties=Careful)
    careful = found.steps.groups.parties
    assert isinstance(careful, Careful)
    for name in ("known", "room"):
        form = getattr(canon, name)

        def remembered(value: Any, form: Callable[[Any], Any] = form) -> Any:
            formed = form(value)
            careful.raw.setdefault(formed, value)
            return formed

        monkeypatch.setattr(canon, name, remembered)
    assert found.run().violation is None
    assert careful.compared > 100


def test_an_order_is_the_same_after_it_was_stored() -> None:
    """So a party that crashes and reads its rows anew knows what it knew: a crash need not be told apart."""
    found = Search(Scenario("stored", Budget(cancels=1, lines=1, faults=1), version=2, pieces=1))
    found.run()
    orders = [value.order for value in found.numbers.values if isinstance(value, Known) and value.order is not None]
    assert len(orders) > 100
    assert all(parse_order(dump_order(order)) == order for order in orders)
