"""What a rule reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule expected and what it found; `about` names the thing within the subject: a charge, a command, an event."""

    expected: str
    found: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken promise: which rule, of which order (or SKU, partition, currency), and what is wrong."""

    rule: str
    kind: str
    subject: str
    expected: str
    found: str
    about: str = ""

    def as_json(self) -> dict[str, Any]:
        """The breach as the JSON report shows it."""
        return {
            "rule": self.rule,
            self.kind: self.subject,
            "about": self.about or None,
            "expected": self.expected,
            "found": self.found,
        }


@dataclass(frozen=True, slots=True)
class Terms:
    """What an audit is told. `grace_s`: how late a timer, a publication or a call may be; `expect_ended`: no order may be open."""

    grace_s: float = 30.0
    expect_ended: bool = False


class Tally:
    """How often each rule was applied."""

    def __init__(self) -> None:
        self._times: Counter[tuple[str, ...]] = Counter()

    def add(self, *rules: str) -> None:
        """These rules were applied once more."""
        self._times[rules] += 1

    @property
    def applied(self) -> dict[str, int]:
        """How often, by rule."""
        found: Counter[str] = Counter()
        for rules, times in self._times.items():
            found.update(dict.fromkeys(rules, times))
        return dict(found)
