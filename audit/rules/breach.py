"""What a rule reports."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Tally:
    """How often each rule was applied."""

    applied: dict[str, int] = field(default_factory=dict)

    def add(self, rule: str, times: int = 1) -> None:
        """Count one more look."""
        self.applied[rule] = self.applied.get(rule, 0) + times
