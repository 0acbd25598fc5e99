"""What people and programs read of letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.table import Table

from orderctl import render
from orderctl.letters.book import DeadLetter, Group, State, type_of
from orderctl.letters.lanes import Lanes
from orderctl.letters.sending import Result

_HEX_WIDTH: Final = 16
_COLOURS: Final = {State.OPEN: "red", State.ASKED: "yellow", State.REPLAYED: "green", State.DISCARDED: "dim"}
_CUT: Final = 60


def waiting_behind(letter: DeadLetter, lanes: Lanes) -> int:
    """How many messages wait behind the letter, as far as its service tells."""
    if letter.lane is None or letter.state not in (State.OPEN, State.ASKED):
        return 0
    lane = lanes.get((letter.letter.service, letter.lane))
    return 0 if lane is None else int(lane["waiting"])


def letter_json(letter: DeadLetter, waiting: int) -> dict[str, Any]:
    """The shape of a letter in `--json`, without its bytes."""
    name = letter.letter
    return {
        "letter": str(name),
        "state": letter.state.value,
        "service": name.service,
        "topic": name.topic,
        "partition": name.partition,
        "offset": name.offset,
        "key": letter.key_text,
        "type": type_of(letter),
        "reason": letter.reason,
        "error": letter.error,
        "at": letter.at,
        "lane": letter.lane,
        "waiting": waiting,
        "truncated": letter.truncated,
    }


def whole_json(letter: DeadLetter, waiting: int) -> dict[str, Any]:
    """The letter with its bytes, where it stands, and what was said about it."""
    dead = {"topic": letter.dead_topic, "partition": letter.dead_partition, "offset": letter.dead_offset}
    return {
        **letter_json(letter, waiting),
        "dead_letter": dead,
        "key_hex": None if letter.key is None else letter.key.hex(),
        "value_text": None if letter.value is None else letter.value.decode(errors="backslashreplace"),
        "value_hex": None if letter.value is None else letter.value.hex(),
        "headers": [
            {
                "name": name,
                "text": None if value is None else value.decode(errors="backslashreplace"),
                "hex": None if value is None else value.hex(),
            }
            for name, value in letter.headers
        ],
        "told": [
            {"at": told.at, "what": type(told.what).__name__, **told.what.model_dump(mode="json")}
            for told in letter.told
        ],
    }


def result_json(result: Result) -> dict[str, Any]:
    """The shape of what became of one letter."""
    return {
        "kind": "letter",
        "letter": str(result.letter.letter),
        "key": result.letter.key_text,
        "outcome": result.outcome or ("skipped" if result.skipped else "unanswered"),
        "error": result.error or result.skipped,
        "waiting": result.waiting,
    }


def result_line(result: Result) -> str:
    """What became of one letter, as markup."""
    name = render.escape(str(result.letter.letter))
    if result.skipped is not None:
        return f"{name}  [dim]skipped[/]: {render.escape(result.skipped)}"
    if result.outcome is None:
        service = result.letter.letter.service
        return f"{name}  [yellow]not answered in time[/]; the word stands on the topic, {service} takes it when it runs"
    colour = "green" if result.outcome in ("handled", "discarded") else "red"
    about = {
        "failed": f" again ({render.escape(result.error or '')}); it stays",
        "set-aside": ": it failed again and is a new letter",
    }.get(result.outcome, "")
    behind = f", {result.waiting} behind it" if result.waiting else ""
    return f"{name}  [{colour}]{result.outcome}[/]{about}{behind}"


def group_table(groups: Iterable[Group]) -> Table:
    """The letters, grouped."""
    numbers = ("open", "asked", "replayed", "discarded", "waiting")
    rows = [
        (
            render.escape(group.service),
            render.escape(group.topic),
            render.escape(group.reason),
            *(_counted(state, group.states[state]) for state in State),
            str(group.waiting or "-"),
            render.clock(group.oldest or None),
            render.clock(group.newest or None),
        )
        for group in groups
    ]
    return render.table(("service", "topic", "reason", *numbers, "oldest", "newest"), rows, numbers)


def _counted(state: State, count: int) -> str:
    return f"[{_COLOURS[state]}]{count}[/]" if count else "-"


def letter_table(letters: Sequence[DeadLetter], lanes: Lanes) -> Table:
    """One letter a line."""
    rows = [
        (
            render.escape(str(one.letter)),
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            render.escape(one.key_text[:_CUT]),
            render.escape(type_of(one) or "-"),
            render.escape(one.reason),
            render.escape(one.error[:_CUT]),
            str(waiting_behind(one, lanes) or "-"),
            render.clock(one.at or None),
        )
        for one in letters
    ]
    columns = ("letter", "state", "key", "type", "reason", "error", "behind", "at")
    return render.table(columns, rows, ("behind",))


def whole_lines(letter: DeadLetter, waiting: int) -> list[str]:
    """The letter for a person: facts, headers, text and bytes. Plain text, no markup."""
    lines = [
        f"letter     {letter.letter}",
        f"state      {letter.state}",
        f"reason     {letter.reason}: {letter.error}",
        f"set aside  {letter.at}",
        f"came from  {letter.letter.topic}, partition {letter.letter.partition}, offset {letter.letter.offset}",
        f"stands at  {letter.dead_topic}, partition {letter.dead_partition}, offset {letter.dead_offset}",
        f"key        {letter.key_text if letter.key is not None else '(none)'}",
    ]
    if letter.lane is not None:
        lines.append(f"lane       {letter.lane}: {waiting} messages wait behind it")
    if letter.truncated is not None:
        lines.append(f"cut        {letter.truncated}")
    for told in letter.told:
        what = told.what.model_dump(mode="json")
        ended = f" -> {what['outcome']}" if "outcome" in what else " asked for"
        lines.append(f"told       {told.at}  {what['act']}{ended}, by {what['operator']}: {what['reason']}")
    lines += ["", "headers"]
    lines += [
        f"  {name}: {'(none)' if value is None else value.decode(errors='backslashreplace')}"
        for name, value in letter.headers
    ]
    if letter.value is None:
        return [*lines, "", "no value"]
    lines += ["", f"value, {len(letter.value)} bytes, as text", letter.value.decode(errors="backslashreplace")]
    return [*lines, "", "as bytes", *hex_lines(letter.value)]


def hex_lines(data: bytes) -> list[str]:
    """The bytes as hexdump shows them."""
    lines = []
    for start in range(0, len(data), _HEX_WIDTH):
        piece = data[start : start + _HEX_WIDTH]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        lines.append(f"{start:08x}  {piece.hex(' '):<{_HEX_WIDTH * 3 - 1}}  |{shown}|")
    return lines
