"""Bugs in the payment service and in the gateway that it talks to: what is taken, what is given back, what is told of it."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_D: Final = "services/payment/"
_G: Final = "services/payment/gateway/"

CHARGES: Final = (
    Mutant(
        "charged-while-being-voided",
        "a charge that is being voided is called again",
        f"{_D}domain.py",
        "S.VOIDING: _hold_back,",
        "S.VOIDING: _charge_again,",
        likely="unit/test_payment_voids.py::test_a_charge_that_comes_while_its_tombstone_is_being_set_is_held_back",
    ),
    Mutant(
        "unknown-outcome-not-asked-for",
        "a charge whose outcome is unknown is repeated without asking the gateway first",
        f"{_D}domain.py",
        "ask_first=state.call.end is End.UNKNOWN",
        "ask_first=False",
        likely="unit/test_payment_charges.py::test_after_an_unknown_outcome_the_next_attempt_asks_before_it_charges",
    ),
    Mutant(
        "late-capture-kept",
        "money that is taken after the charge was told to be voided is kept",
        f"{_D}domain.py",
        "S.VOIDED: {End.CAPTURED: S.RETURNING},",
        "S.VOIDED: {},",
        likely="unit/test_payment_refunds.py::test_a_capture_that_comes_to_light_after_voided_was_told_is_given_back_until_it_works",
    ),
    Mutant(
        "final-word-lost",
        "the gateway's final word is lost where it comes from a call that was given up",
        f"{_D}domain.py",
        "if not current and outcome.end in {End.FAILED, End.UNKNOWN}:",
        "if not current:",
        likely="unit/test_payment_refunds.py::test_an_outcome_told_twice_counts_if_the_second_time_it_is_about_money",
    ),
    Mutant(
        "overtaken-void-met-with-silence",
        "who asks for a void while another attempt is under way is never answered",
        f"{_D}domain.py",
        "return decision(state, void_failed(state, asked.attempt, STILL_CALLING))",
        "return decision(state)",
        likely="unit/test_payment_voids.py::test_a_void_that_is_counted_from_one_again_catches_up",
    ),
    Mutant(
        "one-effect-for-all-attempts",
        "all attempts are one effect, so the second is never made",
        f"{_D}answers.py",
        "*about, str(attempt))",
        "*about)",
        likely="unit/test_payment_charges.py::test_every_attempt_is_a_call_of_its_own_and_its_repeat_is_not",
    ),
    Mutant(
        "repeated-after-a-crash-without-asking",
        "a call that a crash may have left half done is made again without asking",
        f"{_D}performer.py",
        "if call.ask_first or resumed:",
        "if call.ask_first:",
        likely="unit/test_payment_performer.py::test_what_may_have_been_done_is_looked_up_and_charged_only_if_the_gateway_knows_nothing",
    ),
    Mutant(
        "timeout-called-failed",
        "a charge that was not answered in time is told as failed",
        f"{_D}performer.py",
        "return Outcome(End.UNKNOWN, _why(error), error.failure)",
        "return Outcome(End.FAILED, _why(error), error.failure)",
        likely="unit/test_payment_performer.py::test_no_answer_in_time_is_unknown_and_so_is_a_charge_that_is_pending",
    ),
    Mutant(
        "charges-survive-a-failed-commit",
        "what was decided for a commit that failed is kept in memory",
        f"{_D}handlers.py",
        "self._kept.pop(partition, None)",
        "self._kept.get(partition, None)",
        likely="system/test_change_of_owner.py::test_a_charge_that_has_ended_at_another_process_is_told_as_it_ended",
    ),
)

REFUNDS: Final = (
    Mutant(
        "refunds-beyond-the-capture",
        "several refunds give back more than was taken",
        f"{_D}refunds.py",
        "if taken + asked.amount_minor > state.captured_minor:",
        "if asked.amount_minor > state.captured_minor:",
        likely="unit/test_payment_refunds.py::test_refunds_never_exceed_what_was_captured",
    ),
    Mutant(
        "refund-counted-twice",
        "a refund whose end is told twice is counted twice",
        f"{_D}refunds.py",
        "if known.line.end is End.REFUNDED:\n        return decision(state)\n    if outcome",
        "if outcome",
        likely="unit/test_payment_refunds.py::test_a_late_capture_is_given_back_once_whatever_repeats",
    ),
    Mutant(
        "returned-twice",
        "each attempt to return a late capture has an id of its own",
        f"{_D}refunds.py",
        'derived_id("return", state.order_id, state.charge_id)',
        'derived_id("return", state.order_id, state.charge_id, str(attempt))',
        likely="unit/test_payment_refunds.py::test_a_capture_that_comes_to_light_after_voided_was_told_is_given_back_until_it_works",
    ),
    Mutant(
        "return-timer-without-step",
        "a charge's timer of an attempt that is over begins another attempt",
        f"{_D}refunds.py",
        "own is None or own.line.attempt != fired.step or own.line.under_way",
        "own is None or own.line.under_way",
        likely="unit/test_payment_refunds.py::test_a_timer_for_an_attempt_that_is_over_makes_no_further_one",
    ),
)

GATEWAY: Final = (
    Mutant(
        "gateway-keeps-no-tombstone",
        "a charge that was cancelled before it came is taken when it comes",
        f"{_G}domain.py",
        "return Decision(CancelAnswer(charge_id, CancelOutcome.CANCELLED), tombstone)",
        "return Decision(CancelAnswer(charge_id, CancelOutcome.CANCELLED), None)",
        likely="unit/test_gateway.py",
    ),
    Mutant(
        "landed-charge-cancelled",
        "a charge that has landed is told to be cancelled",
        f"{_G}domain.py",
        "-> Decision[CancelAnswer]:\n    row = _landed(row, now)",
        "-> Decision[CancelAnswer]:",
        likely="unit/test_gateway.py",
    ),
    Mutant(
        "transient-failure-remembered",
        "a transient failure is remembered under the charge id, and every later attempt fails",
        f"{_G}domain.py",
        "return Decision(failed, replace(new, state=ChargeState.ATTEMPTED, lands_at=None))",
        "return Decision(failed, replace(new, state=ChargeState.DECLINED, lands_at=None))",
        likely="unit/test_gateway.py",
    ),
    Mutant(
        "gateway-refunds-again",
        "the gateway gives the money back for each repeat of a refund",
        f"{_G}domain.py",
        "if refund_row is not None and refund_row.refunded_at is not None:",
        "if refund_row is not None and refund_row.refunded_at is not None and refund_row.failures:",
        likely="unit/test_gateway.py::test_in_memory -k a_part_that",
    ),
    Mutant(
        "gateway-refunds-more-than-it-took",
        "earlier refunds of a charge are forgotten",
        f"{_G}domain.py",
        "if row.refunded_minor + request.amount_minor > row.request.amount_minor:",
        "if request.amount_minor > row.request.amount_minor:",
        likely="unit/test_gateway.py",
    ),
)

PART: Final = Part(
    "payment",
    (
        "tests/unit/test_payment_charges.py",
        "tests/unit/test_payment_voids.py",
        "tests/unit/test_payment_refunds.py",
        "tests/unit/test_payment_performer.py",
        "tests/unit/test_gateway.py",
        "tests/unit/test_gateway_properties.py",
        "tests/unit/test_payment_properties.py",
        "tests/system/test_payments.py -k v2-in-turn",
        "tests/system/test_payment_limbo.py",
        "tests/system/test_rough_weather.py",
    ),
    (*CHARGES, *REFUNDS, *GATEWAY),
)
