"""`make mutants`: every bug against the tests that have to find it. Ends with 1 where one is not found, or is found by accident.

PYTHONPATH=tests python -m mutants [--only NAME]... [--part PART]... [--fast] [--json FILE] | --table FILE
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from mutants.catalogue import FAST, PARTS
from mutants.lab import Lab, Result
from mutants.mutant import Mutant, Part
from mutants.report import as_markdown, in_words, report
from mutants.stack import one_postgres


def chosen(only: Sequence[str], parts: Sequence[str], fast: bool) -> list[tuple[Part, Mutant]]:
    """What is to be run, in the catalogue's order. Raises `SystemExit` for a name that nothing has."""
    known = {mutant.name for part in PARTS for mutant in part.mutants} | {part.name for part in PARTS}
    if unknown := {*only, *parts} - known:
        raise SystemExit(f"There is no mutant or part called {', '.join(sorted(unknown))}.")
    return [
        (part, mutant)
        for part in PARTS
        for mutant in part.mutants
        if (not only or mutant.name in only) and (not parts or part.name in parts) and (not fast or mutant.name in FAST)
    ]


def run(todo: Sequence[tuple[Part, Mutant]]) -> list[Result]:
    """Each mutant's end, told as it comes. A test that fails on the unchanged code too has found no mutant."""
    with ExitStack() as running:
        if any(part.needs_database for part, _ in todo):
            running.enter_context(one_postgres())
        lab = Lab()
        results = []
        for part, mutant in todo:
            results.append(lab.try_to_kill(mutant, mutant.asked_of(part.killers)))
            _tell(part, results[-1])
            if results[-1].status == "broken":
                print(lab.log.read_text(errors="replace")[-2000:], file=sys.stderr)
        killers = {result.killer for result in results if result.status == "killed"}
        modules = sorted({mutant.module for _, mutant in todo})
        anyway = set(lab.fail_anyway(sorted(killers), modules)) if killers else set()
    return [
        replace(result, status="broken", told=f"it fails on the unchanged code too: {result.told}")
        if result.killer in anyway
        else result
        for result in results
    ]


def _tell(part: Part, result: Result) -> None:
    test = result.killer.removeprefix("tests/")
    print(f"{result.status:9}{result.seconds:7.2f} s  {part.name:13}{result.name:42} {test}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="mutants", description="Every hand-made bug against the tests.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this one; may be given again")
    parser.add_argument("--part", action="append", default=[], metavar="PART", help="those of this part")
    parser.add_argument("--fast", action="store_true", help="the ones that `make test` runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="run nothing: show what stands in this file as Markdown"
    )
    options = parser.parse_args(arguments)
    if options.table is not None:
        print(as_markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return 0
    todo = chosen(options.only, options.part, options.fast)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # whatever was started is stopped
    results = run(todo)
    found = report(todo, results)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for result in results:
        if result.status != "killed":
            print(f"{result.name}: {result.status} {result.told}", file=sys.stderr)
    print(in_words(found))
    return 0 if found["killed"] == found["mutants"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
