"""What the recommendation service decides: which SKUs go well with those of a question. Pure.

message                              | what follows
-------------------------------------+------------------------------------------------------------------------
recommend                            | recommended, from what is known now; nothing known is an empty answer
recommend again (same or other copy) | the same; nothing is remembered, because nothing hangs on the answer
one that could not be validated      | a dead letter: only the orchestrator asks, so there is nobody to tell
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from contracts.envelope import InvalidCommand
from contracts.recommendation import MAX_RECOMMENDED, Recommend, Recommended
from messaging.decision import Decision, Message, Outgoing
from messaging.errors import PoisonError
from services.recommendation.pairs import Pair

Known = Mapping[str, tuple[Pair, ...]]
NO_STATE: Final = None


def decide(known: Known, message: Message) -> Decision[None]:
    """Answer one question, under the key of the command."""
    match message.data:
        case Recommend() as question:
            answer = Recommended(request_id=question.request_id, skus=merge(known, question.skus))
            return Decision(NO_STATE, (Outgoing(message.key, answer),))
        case InvalidCommand() as invalid:
            raise PoisonError("invalid", invalid.message)
        case other:
            raise TypeError(f"The recommendation service has no decision on {type(other).__name__}.")


def merge(known: Known, asked: Iterable[str], most: int = MAX_RECOMMENDED) -> tuple[str, ...]:
    """The best of what is known for each SKU asked about, counts summed, without those SKUs themselves. Of equals the first by
    code point, so that the same knowledge gives the same answer."""
    question = frozenset(asked)
    sums: Counter[str] = Counter()
    for sku in question:
        for pair in known.get(sku, ()):
            if pair.sku not in question:
                sums[pair.sku] += pair.count
    return tuple(sorted(sums, key=lambda sku: (-sums[sku], sku))[:most])
