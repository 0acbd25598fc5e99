"""Bugs in the services that follow: customer and notification."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_C: Final = "services/customer/"
_N: Final = "services/notification/"

CUSTOMER: Final = (
    Mutant(
        "order-counted-twice",
        "a repeated order-completed counts for the customer's tier again",
        f"{_C}handlers.py",
        "message.key in loaded.counted,",
        "message.key not in self._writes.counted and message.key in loaded.completed,",
        likely="integration/test_customer_tiers.py::test_a_completed_order_counts_once_whatever_is_delivered_again -k memory",
    ),
    Mutant(
        "tier-one-order-late",
        "a customer needs one order more than the tier says",
        f"{_C}tiers.py",
        "completed_orders >= from_orders",
        "completed_orders > from_orders",
        likely="unit/test_customer_domain.py::test_the_tier_follows_from_completed_orders",
    ),
    Mutant(
        "two-senders-taken-for-one",
        "commands of two senders that have the same id are taken for one",
        f"{_C}domain.py",
        "else (message.source, message.id)",
        'else ("", message.id)',
        likely="unit/test_customer_domain.py::test_a_message_under_an_orders_id_is_about_the_customer_in_its_data_and_never_recorded",
    ),
)

NOTIFICATION: Final = (
    Mutant(
        "mailed-twice",
        "a repeated order-completed is mailed again",
        f"{_N}domain.py",
        "if state.mail is not None or key is None:",
        "if key is None:",
        likely="unit/test_notification_domain.py::test_the_event_again_sends_nothing_in_any_state",
    ),
    Mutant(
        "message-id-of-the-attempt",
        "each attempt has a Message-ID of its own, so a repeat is not known as one",
        f"{_N}domain.py",
        "message_id=mail.message_id,",
        'message_id=mail.message_id.replace("@", f".{attempt.attempts}@"),',
        likely="unit/test_notification_domain.py::test_a_completed_order_asks_for_one_confirmation",
    ),
    Mutant(
        "mail-timer-without-step",
        "a timer of a mail's attempt that is over begins another one",
        f"{_N}domain.py",
        'mail.status not in {"waiting", "retrying"} or step != mail.step:',
        'mail.status not in {"waiting", "retrying"}:',
        likely="unit/test_notification_domain.py::test_a_timer_of_a_step_that_is_over_changes_nothing",
    ),
    Mutant(
        "outcome-of-an-older-attempt",
        "the end of an older attempt counts for the one under way",
        f"{_N}domain.py",
        'mail.status != "sending" or effect_id != mail.effect_id:',
        'mail.status != "sending":',
        likely="unit/test_notification_domain.py::test_the_outcome_of_an_attempt_that_is_over_changes_nothing",
    ),
    Mutant(
        "old-registration-wins",
        "a repeated answer to an old registration replaces the address of a newer one",
        f"{_N}domain.py",
        "if registered.duplicate or _is_overtaken(state, message):",
        "if _is_overtaken(state, message):",
        likely="unit/test_notification_domain.py::test_a_repeated_answer_does_not_bring_an_old_address_back",
    ),
    Mutant(
        "erased-and-remembered-anew",
        "a registration that is published once more behind an erasure brings name and address back",
        f"{_N}domain.py",
        "return state.contact is not None and state.contact.sequence > message.sequence",
        "return False",
        likely="unit/test_notification_domain.py::test_an_earlier_registration_does_not_undo_an_erasure_whenever_it_comes",
    ),
    Mutant(
        "mail-to-an-erased-customer",
        "a mail that is tried again goes to a customer who was erased meanwhile",
        f"{_N}domain.py",
        "if contact.erased:",
        "if contact.erased and not mail.attempts:",
        likely="unit/test_notification_domain.py::test_a_mail_that_waits_is_undeliverable_once_its_customer_is_erased",
    ),
)

CUSTOMER_PART: Final = Part(
    "customer",
    (
        "tests/unit/test_customer_domain.py",
        "tests/system/test_customers.py",
        "tests/integration/test_customer_erasure.py -k memory",
    ),
    CUSTOMER,
)
NOTIFICATION_PART: Final = Part(
    "notification",
    ("tests/unit/test_notification_domain.py", "tests/system/test_outages.py -k in-turn"),
    NOTIFICATION,
)
