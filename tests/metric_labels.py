"""Which values a label may have, all of them: what else stands on `/metrics` may be an order, a customer or a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from contracts.metrics import DEAD_LETTER_REASONS, LABELS, vocabulary
from contracts.registry import TYPE_OF
from messaging.meters import REJECTION_REASONS
from services.orders.api.listing import STATUSES, WAITS
from services.payment.state import End, Status
from services.recommendation.learner.meters import OUTCOMES

_TYPES: Final = frozenset(type_ for _, type_ in TYPE_OF.values())
#: For the labels whose values the vocabulary does not list itself.
LISTED: Final[Mapping[str, frozenset[str]]] = {
    "type": _TYPES | {"dead-letter", "forwarded"},
    "reason": DEAD_LETTER_REASONS.union(*REJECTION_REASONS.values(), {"none"}),
    "outcome": frozenset({*End, *OUTCOMES}),
    "status": frozenset({*STATUSES, *Status}),
    "waiting_for": frozenset({*WAITS, "nothing"}),
    "step": frozenset(type_.split(".")[1] for type_ in _TYPES if type_.startswith("orders.")),
}
SHAPED: Final = {"partition": re.compile(r"\d{1,3}"), "currency": re.compile("[A-Z]{3}")}


def is_listed(label: str, value: str) -> bool:
    """Whether the label may have this value."""
    if label in SHAPED:
        return SHAPED[label].fullmatch(value) is not None
    return value in (LABELS[label] or LISTED[label])


def strangers(text: str) -> Iterator[str]:
    """The samples of an answer of `/metrics` that the vocabulary does not have, or not with these labels or values."""
    known = vocabulary()
    for family in text_string_to_metric_families(text):
        # When a counter or a histogram came into being stands beside it, as a gauge.
        bare = family.name.removesuffix("_created")
        name = next((found for found in (bare, f"{bare}_total") if found in known), None)
        for sample in family.samples:
            labels = {label: value for label, value in sample.labels.items() if label != "le"}
            fine = name is not None and set(labels) == set(known[name].labels)
            if not fine or not all(is_listed(*pair) for pair in labels.items()):
                yield f"{sample.name} {labels}"


def listed(label: str) -> frozenset[str]:
    """The values of a label that has a list of them."""
    return LABELS[label] or LISTED[label]


def strange_selectors(query: str) -> list[str]:
    """What a PromQL query selects by, and no series can have: a label that its metric does not have, or a value outside the list.
    Each alternative of a pattern has to match something."""
    known = vocabulary()
    found: list[str] = []
    for series, body in re.findall(r"(\w+)\{([^}]*)\}", query):
        name = series if series in known else re.sub(r"_(bucket|sum|count)$", "", series)
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', body):
            patterns = _alternatives(value) if "~" in operator else [re.escape(value)]
            fine = label in known[name].labels and all(
                any(re.fullmatch(pattern, one) for one in listed(label)) for pattern in patterns
            )
            if not fine:
                found.append(f'{series}{{{label}{operator}"{value}"}}')
    return found


def _alternatives(pattern: str) -> list[str]:
    """A pattern with one group or none, as one pattern for each of its alternatives."""
    before, opened, rest = pattern.partition("(")
    inside, _, after = rest.partition(")")
    return [f"{before}{one}{after}" for one in inside.split("|")] if opened else before.split("|")
