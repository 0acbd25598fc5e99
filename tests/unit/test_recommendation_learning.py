"""What the learner makes of completed orders, without a broker: pure counting, and how far reading has got."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.learner.domain import Basket, Counts, basket_of, baskets_of, decode, encode, row_of
from services.recommendation.learner.progress import MOST_LOOKS, NoProgressError, Progress
from services.recommendation.pairs import BoughtTogether, read

SKUS = st.sampled_from(["A", "B", "C", "D", "É", "f g"])
ORDERS = st.dictionaries(st.sampled_from([f"O{n}" for n in range(8)]), st.lists(SKUS, max_size=6))


def learnt(baskets: list[Basket]) -> dict[str, BoughtTogether]:
    """As the learner does it: through the table's rows, where a repeat writes the same row again."""
    rows = dict(row_of(basket) for basket in baskets)
    counts = Counts(basket for row in rows.items() if (basket := basket_of(*row)) is not None)
    return {sku: counts.best(sku) for sku in counts.skus}


def test_an_order_tells_of_each_pair_of_its_distinct_skus() -> None:
    assert baskets_of("O1", ["B", "A", "B", "C"]) == (
        Basket("A", "O1", ("B", "C")),
        Basket("B", "O1", ("A", "C")),
        Basket("C", "O1", ("A", "B")),
    )


@pytest.mark.parametrize("skus", [[], ["A"], ["A", "A"]])
def test_an_order_of_one_sku_tells_nothing(skus: list[str]) -> None:
    assert baskets_of("O1", skus) == ()


def test_the_five_best_come_by_count_and_then_by_sku() -> None:
    orders = [("O1", "XABCDEF"), ("O2", "XF"), ("O3", "XEF")]
    best = learnt([basket for order_id, skus in orders for basket in baskets_of(order_id, skus)])["X"]
    assert [(pair.sku, pair.count) for pair in best.best] == [("F", 3), ("E", 2), ("A", 1), ("B", 1), ("C", 1)]
    assert best.orders == 3


@given(orders=ORDERS, data=st.data())
def test_neither_order_nor_redelivery_matters(orders: dict[str, list[str]], data: st.DataObject) -> None:
    once = [basket for order_id, skus in orders.items() for basket in baskets_of(order_id, skus)]
    again = data.draw(st.lists(st.sampled_from(once), max_size=20)) if once else []
    mixed = data.draw(st.permutations(once + again))
    assert learnt(mixed) == learnt(once)
    plain: Counter[tuple[str, str]] = Counter()
    for skus in orders.values():
        plain.update(combinations(sorted(set(skus)), 2))
    told = {(sku, pair.sku): pair.count for sku, best in learnt(mixed).items() for pair in best.best}
    assert told == {pair: count for (a, b), count in plain.items() for pair in ((a, b), (b, a))}


@given(orders=ORDERS)
def test_what_is_written_is_read_back(orders: dict[str, list[str]]) -> None:
    for order_id, skus in orders.items():
        for basket in baskets_of(order_id, skus):
            assert decode(basket.sku.encode(), encode(basket)) == basket
            assert basket_of(*row_of(basket)) == basket
    for best in learnt([b for order_id, skus in orders.items() for b in baskets_of(order_id, skus)]).values():
        assert read(best.encode()) == best


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, None),
        (b"A", b""),
        (b"A", b"\xff"),
        (b"\xff", b'{"order_id":"O1","others":["B"]}'),
        (b"A", b'{"order_id":"O1","others":[]}'),
        (b"A", b'{"order_id":"O1","others":["A","B"]}'),
        (b"A", b'{"order_id":"","others":["B"]}'),
        (b"", b'{"order_id":"O1","others":["B"]}'),
    ],
)
def test_what_is_no_basket_is_seen(key: bytes | None, value: bytes | None) -> None:
    assert decode(key, value) is None


P = ("orders.events.v1", 0)


def test_records_are_taken_in_order_each_once_without_a_hole() -> None:
    progress = Progress()
    assert not progress.take(P, 0)
    progress.begin({P: 5})
    assert not progress.take(P, 6)  # 5 was lost on the way: 6 comes again
    assert [progress.take(P, offset) for offset in (5, 5, 6, 8)] == [True, False, True, False]


@given(st.permutations(range(5, 12)), st.integers(0, 7))
def test_only_what_is_settled_without_a_hole_may_be_committed(offsets: list[int], ended: int) -> None:
    progress = Progress()
    progress.begin({P: 5})
    for offset in [*offsets[:ended], *offsets[:ended]]:
        progress.done(P, offset)
    open_ones = set(offsets) - set(offsets[:ended])
    assert progress.committable() == {P: min(open_ones, default=12)}


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_what_is_passed_over_is_settled_in_its_turn_and_never_taken(passed: list[bool], random: Random) -> None:
    progress = Progress()
    progress.begin({P: 0})
    offsets = list(range(len(passed)))
    progress.pass_over(P, [offset for offset in offsets if passed[offset]])
    taken = [offset for offset in offsets if progress.take(P, offset)]
    assert taken == [offset for offset in offsets if not passed[offset]]
    random.shuffle(taken)
    for number, offset in enumerate(taken):
        open_ones = taken[number:]
        assert progress.committable() == {P: min(open_ones)}
        progress.done(P, offset)
    assert progress.committable() == {P: len(passed)}


def test_what_was_passed_over_before_the_partitions_were_given_out_anew_is_forgotten() -> None:
    progress = Progress()
    progress.pass_over(P, [5])
    progress.begin({P: 5})
    progress.pass_over(P, [6])
    assert progress.take(P, 5)
    progress.pass_over(P, [5])  # it came again, and is under way
    progress.done(P, 5)
    assert progress.committable() == {P: 7}


def test_reading_that_begins_again_stays_where_it_was_until_the_partitions_are_given_out_anew() -> None:
    progress = Progress()
    progress.begin({P: 5})
    progress.done(P, 5)
    progress.begin({P: 5})
    assert progress.committable() == {P: 6}
    progress.forget()
    progress.done(P, 6)
    assert progress.committable() == {}
    progress.begin({P: 40})
    assert progress.take(P, 40)


def test_a_partition_that_stands_still_with_records_waiting_is_read_again_and_given_up_in_the_end() -> None:
    progress = Progress()
    progress.begin({P: 5})
    assert progress.stuck({P: 7}) == {}
    assert progress.stuck({P: 7}) == {P: 5}
    assert progress.take(P, 5)
    assert progress.stuck({P: 7}) == {}  # it takes its time
    progress.done(P, 5)
    assert progress.stuck({P: 7}) == {}
    assert progress.stuck({P: 7}) == {P: 6}
    progress.take(P, 6)
    progress.done(P, 6)
    assert [progress.stuck({P: 7}) for _ in range(2 * MOST_LOOKS)] == [{}] * 2 * MOST_LOOKS
    with pytest.raises(NoProgressError):
        [progress.stuck({P: 8}) for _ in range(MOST_LOOKS + 2)]


def test_what_is_no_row_is_no_basket() -> None:
    assert basket_of(b"no row", b"[]") is None
    assert basket_of(b'["A","O-1"]', b"\xff") is None
    assert basket_of(b'["A"]', b'["B"]') is None
