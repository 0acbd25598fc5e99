"""Words that stand where personal data, payloads and secrets stand, and must not be found in any log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: In every canary, and nowhere else.
SONG: Final = "kanarienvogel"

NAME: Final = f"Nora {SONG}"
EMAIL: Final = f"{SONG}@shop.example"
PAYMENT_METHOD: Final = f"pm_{SONG}"
REASON: Final = f"because of {SONG}"
PERSON: Final = f"the boss, {SONG}"
DESCRIPTION: Final = f"a mug with a {SONG}"
PASSWORD: Final = f"secret-{SONG}"


def singing(lines: Iterable[str]) -> list[str]:
    """The lines in which a canary is heard."""
    return [line for line in lines if SONG in line.lower()]
