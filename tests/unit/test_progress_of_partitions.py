"""The pure part of /progress: what is told of an error, and what counts as waiting."""

from __future__ import annotations

from datetime import UTC, datetime

from messaging.progress import LONGEST_TEXT, Ends, failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_error_is_told_in_one_line_of_bounded_length() -> None:
    told = failure(OSError("two\nlines " + "x" * 1000), NOW, "publishing")
    assert told.text.startswith("publishing: OSError: two lines x")
    assert len(told.text) == LONGEST_TEXT
    assert told.at == NOW


def test_a_timeout_without_a_text_is_told_in_words() -> None:
    assert failure(TimeoutError(), NOW).text == "TimeoutError: no answer in time"


def test_what_waits_is_counted_from_where_the_reader_has_come() -> None:
    ends = Ends(NOW, {"a": 10, "b": 5}, {"a": 10})
    assert ends.lag({"a": 7, "b": 3}) == 2
    assert ends.lag({"a": 12, "b": 9}) == 0
