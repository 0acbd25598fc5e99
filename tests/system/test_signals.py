"""Every signal in every state gets its verdict."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.values import CommandData
from simulation.kit import Shop, add_line, approve, cancel, start_order


def nothing(shop: Shop) -> None:
    """There is no order."""


def enriching(shop: Shop) -> None:
    if shop.version == 1:
        pytest.skip("version 1 asks nobody")
    shop.down("customer")
    shop.given_order()
    shop.expect_status("ENRICHING", "enrichment")


def reserving(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.skip()
    shop.expect_status("RESERVING", "stock")


def awaiting(shop: Shop) -> None:
    shop.given_order()
    shop.expect_status("AWAITING_APPROVAL", "approval")


def approved_with_an_undecided_line(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(add_line()).expect("undecided")
    shop.when(approve()).expect("accepted")
    shop.expect_status("AWAITING_APPROVAL", "stock")


def paying(shop: Shop) -> None:
    shop.down("payment")
    shop.given_order()
    shop.when(approve())
    shop.expect_status("PAYING", "payment")


def being_cancelled(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(cancel())
    shop.expect_status("COMPENSATING", "release")


def timing_out(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=900)
    shop.down("inventory")
    shop.skip(seconds=901)
    shop.expect_status("COMPENSATING", "release")


def failing(shop: Shop) -> None:
    shop.given_order(payment_method="pm_card_declined")
    shop.down("inventory")
    shop.when(approve())
    shop.expect_status("COMPENSATING", "release")


def completed(shop: Shop) -> None:
    shop.given_order()
    shop.when(approve())
    shop.expect_outcome("COMPLETED")


def cancelled(shop: Shop) -> None:
    shop.given_order()
    shop.when(cancel())
    shop.expect_outcome("CANCELLED", "customer-request")


def failed(shop: Shop) -> None:
    shop.given_order()
    shop.given_order("F", items={"mug": 11})
    shop.expect_outcome("FAILED", "out-of-stock", order="F")


AGAIN = "accepted again"
#                                   equal start, other start, approve,       cancel,     add a line
VERDICTS = {
    nothing: ("accepted", "accepted", "unknown-order", "unknown-order", "unknown-order"),
    enriching: (AGAIN, "conflict", "accepted", "accepted", "undecided"),
    reserving: (AGAIN, "conflict", "accepted", "accepted", "undecided"),
    awaiting: (AGAIN, "conflict", "accepted", "accepted", "accepted"),
    approved_with_an_undecided_line: (AGAIN, "conflict", AGAIN, "accepted", "not-allowed"),
    paying: (AGAIN, "conflict", AGAIN, "accepted", "not-allowed"),
    being_cancelled: (AGAIN, "conflict", "too-late", AGAIN, "too-late"),
    timing_out: (AGAIN, "conflict", "too-late", "accepted", "too-late"),
    failing: ("conflict", "conflict", "too-late", "too-late", "too-late"),
    completed: (AGAIN, "conflict", "too-late", "too-late", "too-late"),
    cancelled: (AGAIN, "conflict", "too-late", "too-late", "too-late"),
}
SIGNALS: dict[str, CommandData] = {
    "equal start": start_order(),
    "other start": start_order(items={"tea": 3}),
    "approve": approve(),
    "cancel": cancel(),
    "add a line": add_line(),
}
CELLS = [
    pytest.param(state, signal, verdict, id=f"{state.__name__}-{name.replace(' ', '-')}")
    for state, verdicts in VERDICTS.items()
    for (name, signal), verdict in zip(SIGNALS.items(), verdicts, strict=True)
]


@pytest.mark.parametrize(("state", "signal", "verdict"), CELLS)
def test_a_signal_in_a_state_gets_its_verdict(
    shop: Shop, state: Callable[[Shop], None], signal: CommandData, verdict: str
) -> None:
    state(shop)
    shop.when(signal).expect(verdict)


@pytest.mark.parametrize(("state", "signal", "verdict"), CELLS)
def test_the_same_signal_again_gets_its_verdict_again_even_after_the_end(
    shop: Shop, state: Callable[[Shop], None], signal: CommandData, verdict: str
) -> None:
    state(shop)
    said = shop.when(signal, id="signal")
    shop.up()
    shop.finish()
    settled = said.verdict.removesuffix(" again")
    assert settled == (verdict.removesuffix(" again") if verdict != "undecided" else "accepted")
    before = shop.system.told("O")
    shop.when(signal, id="signal").expect(f"{settled} again")
    assert len(shop.system.told("O")) == len(before) + 1


def test_a_failed_order_takes_no_more_signals(shop: Shop) -> None:
    failed(shop)
    for signal in (approve(), cancel(), add_line()):
        shop.when(signal, order="F").expect("too-late")
    shop.when(start_order(items={"mug": 11}), order="F").expect("accepted again")
    shop.when(start_order(items={"mug": 1}), order="F").expect("conflict")
