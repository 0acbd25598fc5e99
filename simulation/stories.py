"""The scenarios whose histories are kept as golden files: together they reach every cell of the workflow's table that anything can
reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulation.scenarios import Scenario

_REFUNDING: Final = "start:method=pm_refund_fails approve skip:0.5 cancel"

#: Held with every version of the workflow.
BOTH: Final[Mapping[str, Scenario]] = {
    name: Scenario(script)
    for name, script in {
        # --- the plain ways
        "completed": "start approve",
        "completed-with-lines": "start:items=tea*2,tea*3 add:mug:2 add:tea:4 redeliver approve",
        "completed-then-signals": "start:currency=GBP approve signals operators pause again",
        "cancelled": "start cancel",
        "cancelled-then-signals": "start cancel signals operators pause",
        "nobody-approves": "start:timeout=2 skip:3",
        "before-the-start": "approve cancel add invalid pause operators start start:items=mug*1 approve",
        "unsupported-version": "start:version=9 start cancel",
        "same-command-again": "start again add again approve again",
        "signals-while-awaiting": "start signals redeliver operators",
        "operators-while-awaiting": "start operators redeliver approve",
        # --- the stock
        "out-of-stock": "start:items=mug*11",
        "unknown-sku": "start:items=ghost*1 signals operators pause",
        "currency-mismatch": "start:currency=EUR",
        "total-too-large": "start:items=gold*3",
        "line-refused-then-paid": "start add:mug:11 add:gold:2 down:payment approve redeliver up",
        "line-refused-then-cancelled": "start add:mug:11 down:inventory cancel redeliver up",
        "lines-refused": "start add:mug:11 add:ghost:1 add:pie:1 add:gold:2 redeliver approve",
        "approved-before-the-stock": "start:until=RESERVING down:inventory approve add skip:70 up",
        "signals-while-reserving": "start:until=RESERVING down:inventory redeliver operators signals up",
        "line-before-the-stock": "start:until=RESERVING down:inventory add add:ghost:1 up approve",
        "line-and-no-stock": "start:items=mug*11:until=RESERVING down:inventory add:tea:1 again up",
        "line-and-approval": "start down:inventory add approve skip:20 up",
        "line-and-cancellation": "start down:inventory add again cancel up",
        "line-and-no-approval": "start:timeout=10 down:inventory add skip:11 up",
        "stock-is-silent": "start:until=RESERVING down:inventory skip:200 resolve:settled resolve:retry up approve",
        "cancelled-while-reserving": "start:until=RESERVING down:inventory cancel skip:120 up",
        # --- time
        "approved-in-time-while-down": "start down:orders skip:100 approve skip:1000 up",
        "approved-too-late-while-down": "start down:orders skip:901 approve up",
        # --- holds that are over before the order is
        "hold-long-in-coming": "start:until=RESERVING down:inventory skip:1200 up skip:10 approve",
        "hold-over-while-paying": "start down:payment approve skip:1000 redeliver up",
        "hold-over-while-the-outcome-is-unknown": "start:timeout=60 away approve skip:200 back skip:61",
        "hold-over-while-paused": "start pause skip:1000 resume approve",
        "hold-over-with-a-line": "start add down:payment approve skip:1000 up",
        "hold-over-past-the-time": "start down:orders skip:1000 up",
        "hold-over-and-approved-in-time": "start down:orders approve skip:1000 up",
        "hold-over-and-nobody-answers": "start down:inventory add approve skip:200 over up",
        "hold-over-of-what-was-given-back": "start down:payment approve over:7 up",
        "hold-over-while-giving-back": f"{_REFUNDING} down:payment skip:1000 redeliver up",
        # --- the payment
        "declined": "start:method=pm_card_declined approve",
        "declined-and-cancelled": "start:method=pm_card_declined down:payment approve cancel up",
        "declined-and-signals": "start:method=pm_card_declined down:inventory approve redeliver signals operators up",
        "answer-lost-until-voided": "start:method=pm_card_timeout approve skip:0.5 away skip:60 back skip:61",
        "answer-lost": "start:method=pm_card_timeout approve skip:10",
        "late-charge": "start:method=pm_card_late approve skip:10",
        "late-charge-cancelled-before": "start:method=pm_card_late approve skip:1 cancel redeliver skip:60",
        "late-charge-cancelled-after": "start:method=pm_card_late approve skip:4.1 cancel skip:60",
        "signals-while-paying": "start down:payment approve redeliver operators signals up",
        "payment-is-silent": "start down:payment approve skip:200 up",
        "cancelled-while-payment-is-silent": "start down:payment approve cancel skip:200 up",
        "gateway-away": "start away approve skip:60 back skip:61",
        "gateway-away-and-cancelled": "start away approve skip:3 redeliver cancel redeliver skip:5 back skip:61",
        "gateway-away-and-cancelled-late": "start away approve skip:60 redeliver cancel redeliver skip:60 back skip:61",
        "gateway-comes-back": "start away approve skip:4 back retry-now",
        "void-settled-by-hand": "start away approve until:NEEDS_ATTENTION resolve:settled back",
        "settled-by-hand-and-captured-after-all": (
            "start:method=pm_card_timeout approve skip:0.5 away until:NEEDS_ATTENTION down:payment resolve:retry"
            " resolve:settled back up"
        ),
        "void-tried-by-hand": "start away approve until:NEEDS_ATTENTION resolve:retry back resolve:retry",
        # --- the way back
        "refund-fails": f"{_REFUNDING} skip:2 redeliver skip:60",
        "refund-fails-and-release-waits": f"{_REFUNDING} skip:2 down:inventory skip:60 redeliver up",
        "refund-settled-by-hand": f"{_REFUNDING} until:NEEDS_ATTENTION signals resolve:settled",
        "refund-tried-by-hand": f"{_REFUNDING} until:NEEDS_ATTENTION resolve:retry",
        "refund-retried-now": f"{_REFUNDING} until:NEEDS_ATTENTION retry-now",
        "release-is-silent": "start down:inventory cancel skip:200 signals operators up",
        "release-tried-by-hand": "start down:inventory cancel until:NEEDS_ATTENTION resolve:retry up",
        "cancelled-while-timing-out": "start:timeout=5 down:inventory skip:6 cancel cancel up",
        "refund-settled-with-evidence": f"{_REFUNDING} until:NEEDS_ATTENTION away prove:retry prove:settled back",
        # --- an operator cancels
        "cancelled-by-operator": "cancel-by-operator start cancel-by-operator again cancel-by-operator",
        "cancelled-by-operator-while-reserving": "start:until=RESERVING down:inventory cancel-by-operator up",
        "cancelled-by-operator-while-paying": "start down:payment approve cancel-by-operator cancel-by-operator up",
        "cancelled-by-operator-while-timing-out": "start:timeout=5 down:inventory skip:6 cancel-by-operator cancel up",
        "operator-cancels-what-is-declined": (
            "start:method=pm_card_declined down:inventory approve cancel-by-operator up cancel-by-operator"
        ),
        "operator-cancels-what-is-completed": "start approve cancel-by-operator",
        # --- pauses
        "paused-while-reserving": "start:until=RESERVING down:inventory pause pause up signals operators resume",
        "paused-while-awaiting": "start:timeout=100 skip:40 pause skip:500 operators resume skip:59 approve",
        "paused-and-timed-out-after": "start:timeout=100 skip:40 pause skip:500 resume skip:61",
        "paused-and-approved": "start pause approve skip:1000 resume",
        "paused-and-cancelled": "start pause cancel skip:1000 resume",
        "paused-with-lines": "start pause add skip:10 resume add:gold:2 approve",
        "paused-while-paying": "start down:payment approve pause up",
        "paused-while-retrying": "start away approve skip:2 pause skip:100 operators back resume skip:10",
        "paused-while-refunding": f"{_REFUNDING} skip:2 pause skip:100 resume skip:60",
        "paused-while-releasing": "start down:inventory cancel pause up resume",
        "paused-while-a-person-is-needed": "start away approve until:NEEDS_ATTENTION pause resolve:retry back resume",
        "paused-while-the-charge-fails": "start:method=pm_card_timeout approve skip:0.5 pause skip:10 resume skip:10",
    }.items()
} | {
    "transient-failures": Scenario("start approve skip:60", failure_rate=1.0),
    "transient-failures-and-cancelled": Scenario("start approve skip:2 redeliver cancel redeliver", failure_rate=1.0),
    "transient-failures-and-release-waits": Scenario(
        "start approve skip:2 down:inventory cancel redeliver up", failure_rate=1.0
    ),
    "a-transient-failure": Scenario("start approve skip:40", failure_rate=0.5),
}

#: Since version 2: before anything is held, the order asks around.
ENRICHING: Final[Mapping[str, Scenario]] = {
    name: Scenario(script)
    for name, script in {
        "unknown-customer": "start:customer=nobody",
        "unknown-customer-and-line": "down:customer start:customer=nobody add redeliver up",
        "unknown-customer-and-cancelled": "down:customer start:customer=nobody cancel up",
        "no-recommendation": "down:recommendation start skip:1.9 skip:0.2 up redeliver approve",
        "late-recommendation": "down:recommendation down:customer start skip:5 up approve",
        "customer-is-silent": "down:customer start skip:200 resolve:settled resolve:retry redeliver up approve",
        "stock-check-is-silent": "down:inventory start skip:200 up redeliver approve",
        "approved-while-enriching": "down:customer start approve approve add up",
        "line-while-enriching": "down:customer start add add:ghost:1 up approve",
        "cancelled-while-enriching": "down:customer start add cancel up",
        "cancelled-by-operator-while-enriching": "down:customer start cancel-by-operator up",
        "signals-while-enriching": "down:customer start operators signals up",
        "paused-while-enriching": "down:customer down:recommendation start skip:1 pause up skip:100 operators resume",
        "paused-and-unknown": "down:customer start:customer=nobody pause up",
        "silver-customer": "orders:5 start:version=2 skip:1799 approve",
        "silver-customer-says-how-long": "orders:5 start:timeout=60 equal skip:61",
        "version-left-to-the-system": "start:version=- start:version=-:currency=GBP start:version=1 approve",
        "enrichment-delivered-again": "start redeliver down:payment approve redeliver up",
    }.items()
}

GREET: Final[Mapping[str, Scenario]] = {
    "greeted": Scenario("greet greet again greet:bob signals operators pause"),
}

#: Where each set is kept, the version that its orders run on, and its scenarios. A new version gets a line of its own.
SETS: Final[Mapping[str, tuple[int, Mapping[str, Scenario]]]] = {
    "v1": (1, BOTH),
    "v2": (2, {**BOTH, **ENRICHING}),
    "greet": (1, GREET),
}
