"""Bugs in the workflow of an order: the table, the rules behind it, and the handler that keeps orders in memory."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_D: Final = "services/orders/domain/"

WORKFLOW: Final = (
    Mutant(
        "repeated-command-is-decided-again",
        "the same command is not known again: source and id are looked up the wrong way round",
        f"{_D}decide.py",
        "view.verdicts.get((message.source, message.id))",
        "view.verdicts.get((message.id, message.source))",
        likely="system/test_repeats.py::test_the_same_command_twice_has_one_effect -k v2-in-turn",
    ),
    Mutant(
        "repeat-is-not-called-duplicate",
        "the verdict on a repeated command is told as if it were the first",
        f"{_D}decide.py",
        "verdict_event(message.key, known, duplicate=True)",
        "verdict_event(message.key, known, duplicate=False)",
        likely="system/test_repeats.py::test_the_same_command_twice_has_one_effect -k v2-in-turn",
    ),
    Mutant(
        "late-success-ignored",
        "money that turns out to be taken while the order is given up is not given back",
        f"{_D}decide.py",
        "_R.captured,         _C.captured, ",
        "_R.captured,         _ignore, ",
        likely="unit/test_orders_time.py::test_a_refund_that_keeps_failing_needs_attention_with_the_third_failure_and_is_never_dropped",
    ),
    Mutant(
        "late-answer-resurrects",
        "stock that is held after the order was given up brings it back to life",
        f"{_D}decide.py",
        "_R.line_reserved, _ignore,             _ignore, ",
        "_R.line_reserved, _ignore,             _R.reserved, ",
        likely="system/test_outages.py::test_an_order_cancelled_before_its_stock_is_held_gives_back_what_is_held_after_all -k v2-in-turn",
    ),
    Mutant(
        "deadline-runs-from-before-the-pause-ends",
        "a time for approval that begins while the order is paused is moved too far when it is resumed",
        f"{_D}decide.py",
        "approval_deadline=order.approval_deadline - stood",
        "approval_deadline=order.approval_deadline",
        likely="unit/test_orders_time.py::test_a_time_for_approval_that_begins_while_the_order_is_paused_counts_from_when_it_is_resumed",
    ),
    Mutant(
        "timer-stands-too-late",
        "a timer that is later than the earliest deadline is left as it is",
        f"{_D}decide.py",
        "standing <= needed",
        "standing >= needed",
        likely="unit/test_orders_time.py::test_an_order_that_is_not_approved_ends_when_its_deadline_fires",
    ),
)

FORWARD: Final = (
    Mutant(
        "total-forgets-quantity",
        "the total counts one piece of each line",
        f"{_D}replies.py",
        "sum(item.quantity * (item.unit_price_minor or 0) for item in items)",
        "sum((item.unit_price_minor or 0) for item in items)",
        likely="system/test_approval.py::test_an_approved_order_is_charged_once_shipped_and_confirmed_by_one_mail -k v2-in-turn",
    ),
    Mutant(
        "any-charge-completes",
        "the capture of another charge completes the order",
        f"{_D}replies.py",
        "if charge is None or data.charge_id != charge.charge_id or order.total_minor is None or order.currency is None:",
        "if charge is None or order.total_minor is None or order.currency is None:",
        likely="unit/test_orders_table.py::test_a_reply_about_something_else_changes_nothing -k captured",
    ),
    Mutant(
        "answer-of-an-older-attempt",
        "a repeated failure of an older attempt counts for the one under way",
        f"{_D}replies.py",
        """order.retry_at is None
    if charge is None or not waits or (data.charge_id, data.attempt) != (charge.charge_id, charge.attempt):
        return Move(order)
    policy""",
        """order.retry_at is None
    if charge is None or not waits or data.charge_id != charge.charge_id:
        return Move(order)
    policy""",
        likely="unit/test_orders_time.py::test_a_failure_of_an_older_attempt_says_nothing_about_the_one_under_way",
    ),
    Mutant(
        "unknown-payment-called-failed",
        "after the last attempt the order fails although nobody knows whether money was taken",
        f"{_D}replies.py",
        "return move.then(lambda o: ask(replace(o, charge=voiding), situation.now))",
        "return move.then(lambda o: payment_settled(replace(o, charge=voiding), situation.now))",
        likely="unit/test_orders_time.py::test_a_payment_is_tried_five_times_with_back_off_and_then_voided_before_it_is_called_failed",
    ),
    Mutant(
        "late-timer-speaks-for-the-deadline",
        "a timer set for an earlier moment that fires late ends the wait, and a timely approval is lost",
        f"{_D}replies.py",
        "order.deadline <= fired.due_at",
        "order.deadline <= now",
        likely="unit/test_orders_time.py::test_a_timer_of_an_earlier_moment_that_fires_late_does_not_speak_for_the_deadline",
    ),
    Mutant(
        "one-attempt-too-many",
        "a charge is tried six times instead of five",
        f"{_D}policies.py",
        "failed_attempts >= self.maximum_attempts",
        "failed_attempts > self.maximum_attempts",
        likely="unit/test_orders_time.py::test_a_payment_is_tried_five_times_with_back_off_and_then_voided_before_it_is_called_failed",
    ),
    Mutant(
        "paid-before-the-line-is-settled",
        "an approval takes the money while an added line is undecided",
        f"{_D}signals.py",
        "or order.phase is not Phase.AWAITING_APPROVAL or order.pending or order.total_minor is None:",
        "or order.phase is not Phase.AWAITING_APPROVAL or order.total_minor is None:",
        likely="system/test_approval.py::test_an_approval_while_a_line_is_undecided_waits_for_the_line_and_pays_for_it -k v2-in-turn",
    ),
    Mutant(
        "line-added-after-approval",
        "a line is taken that is added between the approval and the payment",
        f"{_D}signals.py",
        "if order.approved_by is not None:\n        return not_allowed(situation)",
        "if order.phase is Phase.PAYING:\n        return not_allowed(situation)",
        likely="system/test_signals.py::test_a_signal_in_a_state_gets_its_verdict -k v2-in-turn-approved",
    ),
    Mutant(
        "timely-approval-rejected",
        "an approval is judged by when it was read instead of when it was sent",
        f"{_D}signals.py",
        "order.deadline is not None and situation.message.at > order.deadline",
        "order.deadline is not None and situation.now > order.deadline",
        likely="unit/test_orders_time.py::test_an_approval_counts_by_the_moment_it_was_appended",
    ),
)

BACK: Final = (
    Mutant(
        "second-undecided-line-gets-no-verdict",
        "when an order ends, only the first of its undecided lines is told so",
        f"{_D}compensation.py",
        "for line in order.pending:\n        verdict",
        "for line in order.pending[:1]:\n        verdict",
        likely="unit/test_orders_table.py::test_every_line_that_is_undecided_when_the_order_ends_is_told_that_it_is_too_late",
    ),
    Mutant(
        "undecided-line-never-released",
        "the stock of a line that is undecided when the order ends is held for ever",
        f"{_D}compensation.py",
        "return (*order.reservations, *(line.reservation_id for line in order.pending))",
        "return order.reservations",
        likely="system/test_approval.py::test_a_line_undecided_when_the_order_ends_is_too_late_and_its_stock_is_free_again -k v2-in-turn",
    ),
    Mutant(
        "released-before-refunded",
        "the stock goes back before the money",
        f"{_D}compensation.py",
        'if order.charge is not None and order.charge.state == "captured":\n        return "refund"',
        'if undo.waiting_releases:\n        return "release"\n'
        '    if order.charge is not None and order.charge.state == "captured":\n        return "refund"',
        likely="unit/test_orders_table.py::test_what_was_captured_is_refunded_before_anything_is_released",
    ),
    Mutant(
        "release-counted-twice",
        "a repeated answer tells the same stock as released once more",
        f"{_D}compensation.py",
        "if undo is None or data.reservation_id not in undo.waiting_releases:",
        "if undo is None:",
        likely="unit/test_orders_table.py::test_stock_that_is_told_to_be_free_again_is_told_so_once",
    ),
    Mutant(
        "ended-order-still-needs-a-person",
        "an order that has ended stays on the list of those that need a person",
        f"{_D}compensation.py",
        'attention_over(ended, "What had to be given back is given back.").then(lambda o: Move(o, (event,)))',
        "Move(ended, (event,))",
        likely="unit/test_orders_time.py::test_an_order_that_ends_while_it_needs_a_person_needs_one_no_more",
    ),
    Mutant(
        "cancelled-order-fails",
        "an order that is failing accepts a cancellation, and fails all the same",
        f"{_D}signals.py",
        'if undo is None or undo.ending == "FAILED":',
        "if undo is None:",
        likely="system/test_signals.py::test_a_signal_in_a_state_gets_its_verdict -k v2-in-turn-failing",
    ),
    Mutant(
        "refunded-twice",
        "each attempt to refund has an id of its own, so the gateway gives the money back for each",
        f"{_D}move.py",
        'refund_id=business_id("rf", key),',
        'refund_id=business_id("rf", key, str(undo.attempt)),',
        likely="system/test_payments.py::test_a_refund_that_keeps_failing_needs_attention_with_the_third_failure_and_resolves_itself -k v2-in-turn",
    ),
    Mutant(
        "charged-twice",
        "each attempt to charge has an id of its own, so the gateway takes the money for each",
        f"{_D}retries.py",
        "charge=replace(charge, attempt=charge.attempt + 1)",
        'charge=replace(charge, charge_id=f"{charge.charge_id}x", attempt=charge.attempt + 1)',
        likely="unit/test_orders_time.py::test_a_payment_is_tried_five_times_with_back_off_and_then_voided_before_it_is_called_failed",
    ),
    Mutant(
        "hold-given-up-while-paying",
        "an order that is being paid for is ended because its hold is over",
        f"{_D}holds.py",
        "if order.phase is Phase.PAYING or order.paused_at is not None:",
        "if order.paused_at is not None:",
        likely="system/test_holds.py::test_a_hold_is_kept_while_nobody_knows_whether_the_charge_was_taken -k v2-in-turn",
    ),
    Mutant(
        "resume-keeps-the-old-deadline",
        "the time that an order was paused counts against its approval",
        f"{_D}operations.py",
        "approval_deadline=later(order.approval_deadline)",
        "approval_deadline=order.approval_deadline",
        likely="system/test_pause.py::test_the_time_for_approval_stands_still_for_as_long_as_the_order_does -k v2-in-turn",
    ),
    Mutant(
        "memory-survives-a-failed-commit",
        "the state that was decided for a commit that failed is kept in memory",
        "services/orders/handlers.py",
        "self._caches.pop(partition, None)",
        "self._caches.get(partition, None)",
        likely="system/test_change_of_owner.py::test_orders_that_another_process_has_gone_on_with_are_read_anew",
    ),
)

_CONVERSATIONS: Final = " ".join(
    f"tests/system/test_{name}.py"
    for name in ("signals", "repeats", "payments", "pause", "approval", "holds", "enrichment", "outages", "operations")
)

PART: Final = Part(
    "orders",
    (
        "tests/unit/test_orders_time.py",
        "tests/unit/test_orders_holds.py",
        "tests/unit/test_order_policies.py",
        "tests/unit/test_orders_properties.py",
        "tests/unit/test_orders_table.py",
        f"{_CONVERSATIONS} -k v2-in-turn",
        f"{_CONVERSATIONS} -k v1-in-turn",
        "tests/system/test_rough_weather.py",
    ),
    (*WORKFLOW, *FORWARD, *BACK),
)
