"""Every signal in every state gets its verdict."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import Shop


def nothing(shop: Shop) -> None:
    """There is no order."""


def enriching(shop: Shop) -> None:
    if shop.version == 1:
        pytest.skip("version 1 asks nobody")
    shop.system.down("customer")
    shop.start()
    assert (shop.status(), shop.waiting_for()) == ("ENRICHING", "enrichment")


def reserving(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    shop.system.run()
    assert (shop.status(), shop.waiting_for()) == ("RESERVING", "stock")


def awaiting(shop: Shop) -> None:
    shop.start()
    assert (shop.status(), shop.waiting_for()) == ("AWAITING_APPROVAL", "approval")


def approved_with_an_undecided_line(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    assert shop.add(id="line") == "undecided"
    assert shop.approve() == "accepted"
    assert (shop.status(), shop.waiting_for()) == ("AWAITING_APPROVAL", "stock")


def paying(shop: Shop) -> None:
    shop.system.down("payment")
    shop.start()
    shop.approve()
    assert (shop.status(), shop.waiting_for()) == ("PAYING", "payment")


def being_cancelled(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    shop.cancel()
    assert (shop.status(), shop.waiting_for()) == ("COMPENSATING", "release")


def timing_out(shop: Shop) -> None:
    shop.start(timeout_s=900)
    shop.system.down("inventory")
    shop.system.skip(901)
    assert (shop.status(), shop.waiting_for()) == ("COMPENSATING", "release")


def failing(shop: Shop) -> None:
    shop.start(method="pm_card_declined")
    shop.system.down("inventory")
    shop.approve()
    assert (shop.status(), shop.waiting_for()) == ("COMPENSATING", "release")


def completed(shop: Shop) -> None:
    shop.start()
    shop.approve()
    assert shop.ending() == ("COMPLETED", None)


def cancelled(shop: Shop) -> None:
    shop.start()
    shop.cancel()
    assert shop.ending() == ("CANCELLED", "customer-request")


def failed(shop: Shop) -> None:
    shop.start()
    shop.start("F", items=(("mug", 11),))
    assert shop.ending("F") == ("FAILED", "out-of-stock")


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
SIGNALS: dict[str, Callable[[Shop], str]] = {
    "equal start": lambda shop: shop.start(id="signal"),
    "other start": lambda shop: shop.start(items=(("tea", 3),), id="signal"),
    "approve": lambda shop: shop.approve(id="signal"),
    "cancel": lambda shop: shop.cancel(id="signal"),
    "add a line": lambda shop: shop.add(id="signal"),
}
CELLS = [
    pytest.param(state, signal, verdict, id=f"{state.__name__}-{signal.replace(' ', '-')}")
    for state, verdicts in VERDICTS.items()
    for signal, verdict in zip(SIGNALS, verdicts, strict=True)
]


@pytest.mark.parametrize(("state", "signal", "verdict"), CELLS)
def test_a_signal_in_a_state_gets_its_verdict(
    shop: Shop, state: Callable[[Shop], None], signal: str, verdict: str
) -> None:
    state(shop)
    assert SIGNALS[signal](shop) == verdict


@pytest.mark.parametrize(("state", "signal", "verdict"), CELLS)
def test_the_same_signal_again_gets_its_verdict_again_even_after_the_end(
    shop: Shop, state: Callable[[Shop], None], signal: str, verdict: str
) -> None:
    state(shop)
    SIGNALS[signal](shop)
    for service in shop.system.parts.of:
        shop.system.up(service)
    shop.system.finish()
    settled = shop.verdict("O", "signal").removesuffix(" again")
    assert settled == (verdict.removesuffix(" again") if verdict != "undecided" else "accepted")
    before = shop.system.told("O")
    assert SIGNALS[signal](shop) == f"{settled} again"
    assert len(shop.system.told("O")) == len(before) + 1


def test_a_failed_order_takes_no_more_signals(shop: Shop) -> None:
    failed(shop)
    assert [shop.approve("F"), shop.cancel("F"), shop.add("F")] == ["too-late"] * 3
    assert shop.start("F", items=(("mug", 11),)) == "accepted again"
    assert shop.start("F", items=(("mug", 1),)) == "conflict"
