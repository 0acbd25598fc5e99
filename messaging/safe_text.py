"""What may be said of an error where others read it. A driver's or a library's own words may repeat what it was given: data of
a customer, a payload, a password. So a text is passed on only where it is known to be about the machinery."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from aiokafka.errors import KafkaError

from messaging.errors import MessagingError

LONGEST: Final = 300

#: SQLSTATE classes whose message quotes values: bad data, a broken constraint.
_QUOTE_VALUES: Final = ("22", "23")


def safe_text(error: BaseException) -> str:
    """The error in one line: its type, and its text where that cannot hold data."""
    name = type(error).__name__
    said = one_line(_own_words(error))
    return f"{name}: {said}" if said else name


def one_line(text: str, most: int = LONGEST) -> str:
    """The text with everything that does not print escaped, cut to `most` characters."""
    joined = " ".join(text[: most * 2].split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)[:most]


def _own_words(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        state: Any = error.sqlstate or ""
        quotes = state.startswith(_QUOTE_VALUES) or not error.args
        # The primary message alone: DETAIL and CONTEXT hold rows and parameters.
        return f"SQLSTATE {state}" if quotes else f"{error.args[0]} (SQLSTATE {state})"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return ""  # it is about the database's address, which holds the password
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, MessagingError | KafkaError | OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return str(error)
    return ""
