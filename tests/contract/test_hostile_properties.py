"""Whatever bytes come: a command, a verdict or a reason, in no time, and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.hostile import ask, binary_headers, document, raw

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None, exclude_categories=()))
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_data", "x"]
        ),
        st.none() | st.binary(max_size=20) | st.sampled_from([b"1.0", b"application/cloudevents+json", b"cmd-1"]),
    ),
    max_size=8,
)
KEYS = st.none() | st.binary(max_size=70) | st.just(b"ORD-1")


def quickly(value: bytes | None, key: bytes | None, headers: list[Any]) -> None:
    started = time.process_time()
    ask(value, key, headers)
    assert time.process_time() - started < 1


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The valid command with some bytes replaced, taken out or put in."""
    value = bytearray(raw(document()))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(value)))
        end = min(len(value), start + draw(st.integers(0, 6)))
        value[start:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b"{", b"}", b'"', b"[", b"\\ud800", b"NaN", b"0"])
        )
    return bytes(value)


def paths(found: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [prefix, *(path for name, child in children for path in paths(child, (*prefix, name)))]


@st.composite
def replaced(draw: st.DrawFn) -> bytes:
    """The valid command with one of its values replaced by any JSON."""
    whole = document()
    path = draw(st.sampled_from([p for p in paths(whole) if p]))
    parent: Any = whole
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = draw(JSON)
    return json.dumps(whole).encode()


@given(st.binary(max_size=400), KEYS, HEADERS)
def test_any_bytes(value: bytes, key: bytes | None, headers: list[Any]) -> None:
    quickly(value, key, headers)


@given(mutated(), KEYS, HEADERS | st.just(binary_headers()))
@settings(max_examples=300)
def test_a_mutated_command(value: bytes, key: bytes | None, headers: list[Any]) -> None:
    quickly(value, key, headers)


@given(replaced(), KEYS)
@settings(max_examples=300)
def test_a_command_with_a_value_of_another_kind(value: bytes, key: bytes | None) -> None:
    quickly(value, key, [])


@given(JSON, KEYS, HEADERS)
def test_any_body_in_binary_mode(body: Any, key: bytes | None, headers: list[Any]) -> None:
    quickly(json.dumps(body).encode(), key, [*binary_headers(), *headers])


@given(st.integers(0, 3_000), st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]))
def test_any_depth(depth: int, brackets: tuple[bytes, bytes]) -> None:
    quickly(b'{"id":"i","source":"s","x":' + brackets[0] * depth + b"1" + brackets[1] * depth + b"}", b"k", [])
