"""`dlq list | show | replay | discard`: dead letters, what waits behind them, and how they are sent again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from contracts.letters import Act, Letter
from orderctl import cli, render
from orderctl.errors import NotFoundError, UsageError
from orderctl.exits import Exit
from orderctl.letters import book, showing
from orderctl.letters.book import DeadLetter, State, Wanted
from orderctl.letters.lanes import ask_lanes
from orderctl.letters.sending import Result, settle, skipped
from orderctl.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, replay, discard.")

_SPAN: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MOST_TEXT: Final = 1000
_BAD: Final = frozenset({"failed", "set-aside"})

LettersArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[LETTER]...", help="Letters by name, as `dlq list` prints them.")
]
ServiceOption = Annotated[str | None, typer.Option(help="Only those that this service could not handle.")]
TopicOption = Annotated[str | None, typer.Option(help="Only those that came from this topic.")]
ReasonFilter = Annotated[
    str | None, typer.Option("--dlq-reason", help="Only those that were set aside for this reason.")
]
KeyOption = Annotated[str | None, typer.Option(help="Only those of this record key (order, SKU, customer).")]
SinceOption = Annotated[str | None, typer.Option(help="Only those set aside since: 30m, 2h, 1d, or a time (RFC 3339).")]
AllFlag = Annotated[
    bool, typer.Option("--all", help="Every letter that is open; without it a letter or a filter is needed.")
]
AgainFlag = Annotated[bool, typer.Option("--again", help="Also those that were asked for and are not answered yet.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")]
RateOption = Annotated[float, typer.Option(min=0.1, max=10_000, help="At most so many letters a second.")]
TimeoutOption = Annotated[
    float, typer.Option(min=0.1, help="Seconds to wait for the answers after the last one is sent.")
]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; it is kept with the letter.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    service: ServiceOption = None,
    topic: TopicOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", "--dlq-reason", help="Only those that were set aside for this reason.")
    ] = None,
    key: KeyOption = None,
    since: SinceOption = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state; default: open and asked.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many letters are listed one by one, the newest.")] = 50,
    json: cli.JsonFlag = False,
) -> None:
    """Dead letters by service, topic and reason: how many are open, asked for, replayed, discarded, and what waits behind them.
    Then the open ones, one a line."""
    wanted = Wanted(service=service, topic=topic, reason=reason, key=key, since=_since(since))
    settings = cli.settings_of(context)
    cli.run(lambda: _list(settings, wanted, state, limit, json))


async def _list(settings: Settings, wanted: Wanted, state: State | None, limit: int, json: bool) -> Exit:
    letters = await _read(settings, wanted)
    lanes, missing = await ask_lanes(settings.processes)
    groups = book.grouped(letters, {name: int(lane["waiting"]) for name, lane in lanes.items()})
    states = (State.OPEN, State.ASKED) if state is None else (state,)
    shown = [one for one in letters if one.state in states]
    listed = shown[-limit:]
    totals = Counter(one.state.value for one in letters)
    if json:
        document = {
            "groups": [group.as_json() for group in groups],
            "totals": {found.value: totals[found.value] for found in State},
            "items": [showing.letter_json(one, showing.waiting_behind(one, lanes)) for one in listed],
            "next": None,
            "more": len(shown) - len(listed),
            "missing": missing,
        }
        render.print_json(document)
        return Exit.OK
    if not letters:
        render.out().print("No dead letters.")
        return Exit.OK
    render.out().print(showing.group_table(groups))
    if listed:
        render.out().print()
        render.out().print(showing.letter_table(listed, lanes))
    if len(shown) > len(listed):
        render.err().print(f"and {len(shown) - len(listed)} older ones (--limit, or a filter)")
    if missing:
        render.err().print(f"What waits behind them is not known of {', '.join(missing)}: no process answers.")
    return Exit.OK


@app.command("show")
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="The letter's name, as `dlq list` prints it.")],
    json: cli.JsonFlag = False,
) -> None:
    """One letter: where it came from, why it was set aside, what was said about it, its headers, and its bytes as text and in
    hexadecimal."""
    names = _names([letter])
    settings = cli.settings_of(context)
    cli.run(lambda: _show(settings, Wanted(names=names), json))


async def _show(settings: Settings, wanted: Wanted, json: bool) -> Exit:
    (one,) = await _read(settings, wanted)
    lanes, _ = await ask_lanes({name: urls for name, urls in settings.processes.items() if name == one.letter.service})
    waiting = showing.waiting_behind(one, lanes)
    if json:
        render.print_json(showing.whole_json(one, waiting))
    else:
        for line in showing.whole_lines(one, waiting):
            render.out().print(line, markup=False)
    return Exit.OK


@app.command("replay")
def replay(
    context: typer.Context,
    operator: cli.OperatorOption,
    letters: LettersArgument = None,
    why: WhyOption = "none given",
    service: ServiceOption = None,
    topic: TopicOption = None,
    reason: ReasonFilter = None,
    key: KeyOption = None,
    since: SinceOption = None,
    everything: AllFlag = False,
    again: AgainFlag = False,
    dry_run: DryRunFlag = False,
    rate: RateOption = 50.0,
    timeout: TimeoutOption = 30.0,
    json: cli.JsonFlag = False,
) -> None:
    """Send letters to where they came from once more, unchanged and in order; what waits behind one follows when it is handled.
    A letter that was replayed or discarded is not sent again. Exit codes: 0 all handled, 5 some failed again or cannot be
    sent, 6 some not answered in time, 7 no such letter."""
    wanted = Wanted(_names(letters or ()), service, topic, reason, key, _since(since))
    _act(context, "replay", wanted, everything, again, dry_run, operator, why, rate, timeout, json)


@app.command("discard")
def discard(
    context: typer.Context,
    operator: cli.OperatorOption,
    why: WhyOption,
    letters: LettersArgument = None,
    service: ServiceOption = None,
    topic: TopicOption = None,
    reason: ReasonFilter = None,
    key: KeyOption = None,
    since: SinceOption = None,
    everything: AllFlag = False,
    again: AgainFlag = False,
    dry_run: DryRunFlag = False,
    rate: RateOption = 50.0,
    timeout: TimeoutOption = 30.0,
    json: cli.JsonFlag = False,
) -> None:
    """Give letters up, for good: they are never handled, and what waits behind them goes on. A client's command among them is
    rejected as invalid, and its sender reads the reason. Operator and reason are kept. Exit codes: 0 all discarded, 6 some not
    answered in time, 7 no such letter."""
    wanted = Wanted(_names(letters or ()), service, topic, reason, key, _since(since))
    _act(context, "discard", wanted, everything, again, dry_run, operator, why, rate, timeout, json)


def _act(
    context: typer.Context,
    act: Act,
    wanted: Wanted,
    everything: bool,
    again: bool,
    dry_run: bool,
    operator: str,
    why: str,
    rate: float,
    timeout_s: float,
    json: bool,
) -> None:
    if wanted.all and not everything:
        raise UsageError(
            f"Say which letters: names, a filter, or --all. `orderctl dlq list` shows them; nothing was {act}ed."
        )
    for name, text in (("operator", operator), ("reason", why)):
        if not 1 <= len(text) <= _MOST_TEXT or "\x00" in text:
            raise UsageError(f"The {name} must have 1 to {_MOST_TEXT} characters.")
    settings = cli.settings_of(context)
    cli.run(lambda: _settle(settings, act, wanted, again, dry_run, operator, why, rate, timeout_s, json))


async def _settle(
    settings: Settings,
    act: Act,
    wanted: Wanted,
    again: bool,
    dry_run: bool,
    operator: str,
    why: str,
    rate: float,
    timeout_s: float,
    json: bool,
) -> Exit:
    transport = cli.transport_for(settings)
    results: list[Result] = []

    def tell(result: Result) -> None:
        results.append(result)
        if json:
            render.print_json({**showing.result_json(result), "act": act, "dry_run": dry_run})
        else:
            render.out().print(showing.result_line(result))

    try:
        letters = _chosen(book.read_letters(await transport.read_all(book.TOPICS)), wanted)
        # Those that were settled long ago are of no interest, unless somebody names them.
        letters = [one for one in letters if wanted.names or one.state in (State.OPEN, State.ASKED)]
        sent = []
        for one in letters:
            if (left_out := skipped(one, act, again)) is not None:
                tell(left_out)
            else:
                sent.append(one)
        if dry_run:
            for one in sent:
                tell(Result(one, skipped=f"would {act} it"))
            return Exit.OK
        async for result in settle(transport, sent, act, operator, why, rate, timeout_s):
            tell(result)
    finally:
        await transport.close()
    return _exit(results)


def _exit(results: Sequence[Result]) -> Exit:
    """What the run comes to. A letter that somebody asked for and nobody answered is not done either."""
    if any(result.outcome in _BAD or result.impossible for result in results):
        return Exit.REJECTED
    unanswered = (r for r in results if r.outcome is None and (r.skipped is None or r.letter.state is State.ASKED))
    return Exit.TIMEOUT if any(unanswered) else Exit.OK


async def _read(settings: Settings, wanted: Wanted) -> list[DeadLetter]:
    transport = cli.transport_for(settings)
    try:
        return _chosen(book.read_letters(await transport.read_all(book.TOPICS)), wanted)
    finally:
        await transport.close()


def _chosen(letters: Sequence[DeadLetter], wanted: Wanted) -> list[DeadLetter]:
    unknown = sorted(wanted.names - {one.letter for one in letters})
    if unknown:
        raise NotFoundError(f"There is no letter {unknown[0]}. `orderctl dlq list` shows what there is.")
    return [one for one in letters if wanted.matches(one)]


def _names(texts: Sequence[str]) -> frozenset[Letter]:
    found = {text: Letter.parse(text) for text in texts}
    for text, letter in found.items():
        if letter is None:
            raise UsageError(
                f"A letter is written SERVICE/TOPIC/PARTITION/OFFSET, as `dlq list` prints it; {text!r} is not."
            )
    return frozenset(letter for letter in found.values() if letter is not None)


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since is a span such as 30m, 2h or 1d, or a time such as 2026-01-31T09:00Z; not {text!r}."
        ) from None
    return found if found.tzinfo is not None else found.astimezone()
