"""What is searched. Each scenario is searched to its end: every world that its budget allows. They are small in different ways,
since their budgets together make more worlds than anybody can look at; `EVERYTHING` is all of them together, searched from its
beginning as far as it is asked to go."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from services.orders.domain.policies import DEFAULTS, RetryPolicy
from services.payment.gateway.domain import Method
from simulation.checker.clients import ODD
from simulation.checker.world import Budget, Scenario

_ODD: Final = tuple(ODD)
_CANCEL: Final = Budget(cancels=1)
#: As little patience as can be: what does not work is soon left to a person.
IMPATIENT: Final = replace(DEFAULTS, void=RetryPolicy(1, 1, 1, 1), refund=RetryPolicy(1, 1, 1, 2))

#: Small ones: every kind of trouble, every payment method, every command that nobody needs. All of them reach every cell there is.
SMALL: Final = (
    Scenario("a cancellation and an added line", replace(_CANCEL, lines=1), version=2, pieces=1),
    Scenario("two messages come again", replace(_CANCEL, duplicates=2)),
    Scenario("a message comes again, for an order that asks around", replace(_CANCEL, duplicates=1), version=2),
    Scenario("a crash, and a message comes again", replace(_CANCEL, crashes=1, duplicates=1)),
    Scenario("two orders want one piece", _CANCEL, orders=2, pieces=1),
    Scenario("time runs away", replace(_CANCEL, hastes=1)),
    Scenario("time runs away, for an order that asks around", Budget(hastes=1), version=2),
    Scenario("the customer is not known", replace(_CANCEL, duplicates=1), version=2, known_customer=False),
    Scenario("there is nothing in stock", replace(_CANCEL, lines=1, duplicates=1), pieces=0),
    Scenario("the total is too large", replace(_CANCEL, lines=1), price_minor=10**15, quantity=2),
    *(
        Scenario(f"the gateway fails, {method.value}", replace(_CANCEL, faults=1, crashes=1), method=method.value)
        for method in Method
    ),
    *(
        Scenario(f"any command, {method.value}", replace(_CANCEL, odd=1, faults=1), method=method.value, odd=_ODD)
        for method in (Method.VISA, Method.REFUND_FAILS)
    ),
    Scenario("operators", Budget(odd=2), version=2, odd=_ODD),
    Scenario(
        "a person is soon needed",
        replace(_CANCEL, faults=2, odd=1),
        method=Method.REFUND_FAILS.value,
        odd=("resolve-retry", "resolve-settled", "retry-now", "pause"),
        policies=IMPATIENT,
    ),
)

_LINE: Final = replace(_CANCEL, lines=1)
#: Large ones, together more than five million worlds.
LARGE: Final = (
    Scenario("two messages come again, a crash, an added line", replace(_LINE, duplicates=2, crashes=1)),
    Scenario("time runs away once, a message comes again, an added line", replace(_LINE, hastes=1, duplicates=1)),
    Scenario("time runs away once, a crash, an added line", replace(_LINE, hastes=1, crashes=1)),
    Scenario("time runs away twice, an added line", replace(_LINE, hastes=2)),
    Scenario("time runs away once, two messages come again", replace(_CANCEL, hastes=1, duplicates=2)),
    Scenario("an order that asks around", replace(_LINE, duplicates=1, crashes=1), version=2, pieces=1),
    Scenario("two orders want one piece, messages come again", replace(_LINE, duplicates=1), orders=2, pieces=1),
    Scenario("two orders want one piece, and more", _LINE, orders=2, pieces=1),
    Scenario("two orders want one piece, time runs away", replace(_CANCEL, hastes=1), orders=2, pieces=1),
)

#: All that the issue names, at once: searched from its beginning, shortest ways first.
EVERYTHING: Final = Scenario(
    "everything at once", Budget(duplicates=2, crashes=1, hastes=2, cancels=1, lines=1), version=2, pieces=1
)
