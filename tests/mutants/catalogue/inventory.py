"""Bugs in the stock room: what is held, released and shipped, what the shop says, and when a hold is over."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_D: Final = "services/inventory/"

PART: Final = Part(
    "inventory",
    (
        "tests/unit/test_inventory_domain.py",
        "tests/unit/test_inventory_holds.py",
        "tests/unit/test_inventory_shop.py",
        "tests/unit/test_inventory_properties.py",
        "tests/system/test_holds.py -k v2-in-turn",
        "tests/system/test_rough_weather.py",
    ),
    (
        Mutant(
            "release-by-plus-n",
            "a repeated release frees the pieces once more",
            f"{_D}domain.py",
            'if known.state != "held":\n        return Decision(_UNCHANGED, (Outgoing(order_id, release_answer(known)),))',
            'if known.state not in {"held", "released"}:\n'
            "        return Decision(_UNCHANGED, (Outgoing(order_id, release_answer(known)),))",
            likely="unit/test_inventory_domain.py::test_a_release_gives_all_lines_back_once",
        ),
        Mutant(
            "no-tombstone",
            "a release that comes before its reservation leaves nothing behind, and the late reservation holds for ever",
            f"{_D}domain.py",
            "return Decision(Changes(reservations={stone.key: stone}), (Outgoing(order_id, release_answer(stone)),))",
            "return Decision(_UNCHANGED, (Outgoing(order_id, release_answer(stone)),))",
            likely="unit/test_inventory_domain.py::test_a_release_that_comes_first_lets_the_reservation_find_a_tombstone",
        ),
        Mutant(
            "lines-of-one-sku-not-summed",
            "two lines of the same SKU are checked and held as if only the last one were there",
            f"{_D}domain.py",
            "sums[item.sku] += item.quantity",
            "sums[item.sku] = item.quantity",
            likely="unit/test_inventory_domain.py::test_lines_of_one_sku_are_summed_before_the_check",
        ),
        Mutant(
            "one-piece-too-many",
            "one piece more is sold than there is",
            f"{_D}domain.py",
            "if left < count:",
            "if left + 1 < count:",
            likely="unit/test_inventory_domain.py::test_one_line_without_stock_holds_nothing_of_the_others",
        ),
        Mutant(
            "repeated-reservation-holds-again",
            "a repeated reserve-stock is decided again instead of answered again",
            f"{_D}domain.py",
            "if known is not None:\n        return Decision(_UNCHANGED, (Outgoing(order_id, reserve_answer(known)),))",
            'if known is not None and known.state != "held":\n'
            "        return Decision(_UNCHANGED, (Outgoing(order_id, reserve_answer(known)),))",
            likely="unit/test_inventory_domain.py::test_a_repeated_reservation_gets_its_answer_again_whatever_it_holds_now",
        ),
        Mutant(
            "shipped-twice",
            "a repeated order-completed ships the pieces once more",
            f"{_D}domain.py",
            'if known is None or known.state != "held":\n            if known',
            'if known is None or known.state not in {"held", "shipped"}:\n            if known',
            likely="unit/test_inventory_domain.py::test_a_completed_order_ships_each_of_its_reservations_once",
        ),
        Mutant(
            "two-currencies-in-one-order",
            "lines in different currencies are held together where the order names none",
            f"{_D}domain.py",
            "if expected is not None and found != expected:",
            "if currency is not None and found != currency:",
            likely="unit/test_inventory_domain.py::test_unknown_comes_before_currency_comes_before_sold_out",
        ),
        Mutant(
            "repeated-receipt-counted-twice",
            "a repeated receipt of stock is not known again",
            f"{_D}shop.py",
            "recorded = ledger.answers.get(command_key(message))",
            "recorded = ledger.answers.get((message.key, message.id, message.source))",
            likely="unit/test_inventory_shop.py::test_a_repeated_command_gets_its_answer_again_marked_as_a_duplicate",
        ),
        Mutant(
            "adjusted-below-what-is-held",
            "a correction takes pieces that are held",
            f"{_D}shop.py",
            "if after.on_hand < 0:",
            "if after.on_hand + after.held < 0:",
            likely="unit/test_inventory_shop.py::test_an_adjustment_never_goes_below_what_is_held",
        ),
        Mutant(
            "old-extension-shortens",
            "an older extension that is delivered again shortens the hold",
            f"{_D}holds.py",
            "known.expires_at >= data.expires_at",
            "known.expires_at == data.expires_at",
            likely="unit/test_inventory_holds.py::test_an_older_extension_shortens_nothing",
        ),
        Mutant(
            "announced-only-once",
            "an expiry whose announcement was not answered is never announced again",
            f"{_D}holds.py",
            "announced=row.announced + 1, announce_at=_next_announcement(row, now)",
            "announced=row.announced + 1, announce_at=None",
            likely="unit/test_inventory_holds.py::test_an_announcement_that_nobody_answers_is_repeated_at_growing_intervals",
        ),
        Mutant(
            "sweep-remembered-over-a-change-of-owner",
            "a new owner takes the timer for standing where it stood when it owned the partition before",
            f"{_D}handlers.py",
            "self._armed.pop(partition, None)",
            "self._armed.get(partition, None)",
            likely="system/test_change_of_owner.py::test_a_hold_is_announced_in_time_although_another_process_has_swept_meanwhile",
        ),
    ),
)
