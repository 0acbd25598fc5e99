"""The command line of campaigns: run many seeds, replay one, shrink one, compare hashes."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from simulation.campaign.make import ORDERS, make
from simulation.campaign.many import SAVE_EVERY_S, Campaign, OtherCampaignError, collected_between_worlds, hashes_of
from simulation.campaign.run import Run, play
from simulation.campaign.script import Script, dump, read
from simulation.campaign.shrink import shrink

#: A hash is as sensitive with few orders as with many.
VERIFIED_ORDERS: Final = 10

PASSED: Final = 0
BROKEN: Final = 1
USAGE: Final = 2
INVALID: Final = 3
INTERRUPTED: Final = 130
_EXITS: Final = {"passed": PASSED, "failed": BROKEN, "invalid": INVALID, "unfinished": INTERRUPTED}

EPILOG: Final = """exit codes: 0 every promise held, 1 a promise was broken, 2 usage, 3 invalid (something that was planned to go
wrong never happened), 130 interrupted (the same command with --json goes on)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """See `python -m simulation --help`."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("run", help="play many seeds", epilog=EPILOG)
    _seeds(one, "0:100")
    one.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    one.add_argument("--json", type=Path, help="write the result there; go on from it where it is there already")
    one.add_argument("--fresh", action="store_true", help="begin anew, whatever is there")
    one.add_argument(
        "--verify",
        type=int,
        default=0,
        metavar="N",
        help="play the first N seeds twice more, with 10 orders each, and compare hashes",
    )
    one.add_argument("--scripts", type=Path, default=Path(".simulation"), help="where failing scripts are written")
    one.set_defaults(do=_run)

    one = commands.add_parser("replay", help="play one seed or one script, and tell what came of it")
    one.add_argument("what", help="a seed, or a file with a script")
    one.add_argument("--orders", type=int, default=ORDERS)
    one.add_argument("--trace", action="store_true", help="tell every step")
    one.add_argument("--order", help="tell the history of this order")
    one.set_defaults(do=_replay)

    one = commands.add_parser("shrink", help="make a script that fails as short as it can be")
    one.add_argument("what", help="a seed, or a file with a script")
    one.add_argument("--orders", type=int, default=ORDERS)
    one.add_argument("-o", "--output", type=Path, help="write it there (default: to stdout)")
    one.set_defaults(do=_shrink)

    one = commands.add_parser("hash", help="tell the hash of each seed's trace")
    _seeds(one, "0:10")
    one.set_defaults(do=_hash)

    one = commands.add_parser("verify", help="play seeds twice, or with several Pythons, and compare the hashes")
    _seeds(one, "0:10")
    one.add_argument("--python", action="append", help="an interpreter with our dependencies (again for more)")
    one.set_defaults(do=_verify)

    found = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    code: int = found.do(found)
    return code


def _seeds(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--seeds", type=_span, default=_span(default), metavar="A:B", help=f"from A to before B ({default})"
    )
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"orders of each seed (default {ORDERS})")


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last or int(first) + 1)


def _run(found: argparse.Namespace) -> int:
    first, last = found.seeds
    campaign = Campaign(first, last, found.orders)
    try:
        if found.json is not None and not found.fresh:
            campaign.resume(found.json)
    except OtherCampaignError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    saved_at = told_at = time.monotonic()

    def tell(running: Campaign) -> None:
        nonlocal saved_at, told_at
        now = time.monotonic()
        if found.json is not None and now - saved_at > SAVE_EVERY_S:
            saved_at = now
            running.save(found.json)
        if now - told_at > SAVE_EVERY_S:
            told_at = now
            sys.stderr.write(f"{_progress(running)}\n")

    try:
        campaign.run(found.jobs, tell)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
    finally:
        if found.json is not None:
            campaign.save(found.json)
    return _conclude(campaign, found)


def _progress(campaign: Campaign) -> str:
    tally = campaign.tally
    rate = tally.orders / tally.cpu_s * 60 if tally.cpu_s else 0.0
    return (
        f"{tally.orders:,} orders in {len(tally.hashes)} pieces of seeds {campaign.first}:{campaign.last}, "
        f"{campaign.wall_s:.0f} s, {rate:,.0f} orders per minute and core, "
        f"{sum(tally.happened.values()):,} faults of {len(tally.happened)} kinds, {len(tally.failures)} seeds failed"
    )


def _conclude(campaign: Campaign, found: argparse.Namespace) -> int:
    out, tally = sys.stdout.write, campaign.tally
    out(f"{_progress(campaign)}\n")
    for kind, times in sorted(tally.happened.items()):
        out(f"  {kind:<22} {times:>9,}\n")
    for seed, broken in sorted(tally.failures.items()):
        out(f"seed {seed} broke {len(broken)} promises; the first: {broken[0][:300]}\n")
    for seed in sorted(tally.failures)[:3]:
        path = found.scripts / f"seed-{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        script = shrink(make(seed, found.orders))
        path.write_text(dump(script), encoding="utf-8")
        out(f"shrunk to {len(script.entries)} entries; play it again with\n  python -m simulation replay {path}\n")
        out(dump(script))
    for kind in tally.never:
        out(f"INVALID: {kind} was planned and never happened\n")
    code = _EXITS[campaign.verdict]
    if code == PASSED and found.verify:
        code = _compare([sys.executable] * 2, campaign.first, campaign.first + found.verify, VERIFIED_ORDERS)
    out({PASSED: "passed\n", BROKEN: "FAILED\n", INVALID: "INVALID\n"}.get(code, "unfinished\n"))
    return code


def _script(found: argparse.Namespace) -> Script:
    return make(int(found.what), found.orders) if found.what.isdecimal() else read(Path(found.what))


def _replay(found: argparse.Namespace) -> int:
    run = Run(_script(found))
    result = run.play()
    out = sys.stdout.write
    if found.trace:
        out("".join(f"{line}\n" for line in run.system.trace))
    if found.order:
        for entry in run.system.history(found.order):
            out(f"{entry['at']} {entry['type']} <- {entry['cause_type']} {entry['data']}\n")
    out(f"seed {result.seed}: {result.orders} orders, {result.steps} steps, {result.records} records\n")
    out(f"happened: {dict(result.happened)}\ntrace: {result.trace}\n")
    out("".join(f"BROKEN {told}\n" for told in result.broken) or "every promise held\n")
    return BROKEN if result.broken else PASSED


def _shrink(found: argparse.Namespace) -> int:
    script = _script(found)
    if not play(script).broken:
        sys.stdout.write("every promise held; there is nothing to shrink\n")
        return PASSED
    text = dump(shrink(script, tell=lambda line: sys.stderr.write(f"{line}\n")))
    if found.output is None:
        sys.stdout.write(text)
    else:
        found.output.write_text(text, encoding="utf-8")
    return BROKEN


def _hash(found: argparse.Namespace) -> int:
    with collected_between_worlds():
        for seed in range(*found.seeds):
            sys.stdout.write(f"{seed} {play(make(seed, found.orders)).trace}\n")
            gc.collect()
    return PASSED


def _verify(found: argparse.Namespace) -> int:
    first, last = found.seeds
    return _compare(found.python or [sys.executable] * 2, first, last, found.orders)


def _compare(pythons: Sequence[str], first: int, last: int, orders: int) -> int:
    found = [hashes_of(python, first, last, orders).splitlines() for python in pythons]
    different = [lines for lines in zip(*found, strict=True) if len(set(lines)) > 1]
    for lines in different:
        sys.stdout.write(f"NOT THE SAME: {' and '.join(lines)}\n")
    counted = len(found[0])
    sys.stdout.write(f"{counted - len(different)} of {counted} trace hashes are equal under {', '.join(pythons)}\n")
    return BROKEN if different or counted != last - first else PASSED
