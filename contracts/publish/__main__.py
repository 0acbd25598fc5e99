"""`python -m contracts.publish`: make the published contract anew, check it, release it, print it for a given broker."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from contracts.publish import files
from contracts.publish.asyncapi import DEFAULT_BROKERS, document
from contracts.publish.compat import Break, breaks
from contracts.publish.schemas import message_schemas

OK: Final = 0
NOT_CURRENT: Final = 1
BREAKING: Final = 3

_EXIT_CODES: Final = "exit codes: 0 all is well; 1 generated files are not current; 2 wrong usage; 3 a breaking change"
_REMEDY: Final = (
    "A published message does not hold any longer. Leave it as it was and add a new version beside it (`...v2`), see "
    "docs/contract.md. Only where nobody relies on it yet: python -m contracts.publish release --breaking"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; answers its exit code."""
    parser = argparse.ArgumentParser(prog="python -m contracts.publish", description=__doc__, epilog=_EXIT_CODES)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    about = {
        "write": "make contracts/schemas and contracts/asyncapi.json anew (the default)",
        "check": "tell what is not current and what breaks a published message; changes nothing",
        "release": "from now on others rely on the current schemas: copy them to contracts/published",
        "asyncapi": "print the AsyncAPI document with the brokers of KAFKA_BOOTSTRAP_SERVERS",
    }
    for verb, text in about.items():
        one = verbs.add_parser(verb, help=text, description=text, epilog=_EXIT_CODES)
        one.add_argument("--json", action="store_true", help="answer in JSON")
        if verb == "release":
            one.add_argument("--breaking", action="store_true", help="also where it breaks what was published")
    found = parser.parse_args((sys.argv[1:] if arguments is None else arguments) or ["write"])
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "write": _write,
        "check": _check,
        "release": _release,
        "asyncapi": _asyncapi,
    }
    return run[found.verb](found)


def _write(asked: argparse.Namespace) -> int:
    _tell_written(asked, files.write(files.generated()))
    return OK


def _check(asked: argparse.Namespace) -> int:
    stale = files.stale(files.generated())
    broken = breaks(files.read_schemas(files.PUBLISHED), message_schemas())
    if asked.json:
        _print_json({"stale": {_name(path): diff for path, diff in stale.items()}, "breaking": _listed(broken)})
    else:
        for diff in stale.values():
            print(diff)
        if stale:
            print(f"{len(stale)} generated files are not current; run: make schemas", file=sys.stderr)
        _tell_broken(broken)
        if not stale and not broken:
            print("the generated files are current, and every published message holds")
    return BREAKING if broken else NOT_CURRENT if stale else OK


def _release(asked: argparse.Namespace) -> int:
    schemas = message_schemas()
    broken = breaks(files.read_schemas(files.PUBLISHED), schemas)
    if broken and not asked.breaking:
        if asked.json:
            _print_json({"written": [], "breaking": _listed(broken)})
        else:
            _tell_broken(broken)
        return BREAKING
    _tell_written(asked, files.write(files.schema_files(files.PUBLISHED, schemas)))
    return OK


def _asyncapi(_: argparse.Namespace) -> int:
    schemas = message_schemas()
    samples = {name: files.read(files.SAMPLES / f"{name}.json") for name in schemas}
    brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or DEFAULT_BROKERS
    _print_json(document(schemas, samples, [broker.strip() for broker in brokers.split(",")]))
    return OK


def _tell_written(asked: argparse.Namespace, written: Sequence[Path]) -> None:
    if asked.json:
        _print_json({"written": [_name(path) for path in written]})
    else:
        print("\n".join(f"wrote {_name(path)}" for path in written) or "all current")


def _tell_broken(broken: Sequence[Break]) -> None:
    for one in broken:
        print(one)
    if broken:
        print(_REMEDY, file=sys.stderr)


def _listed(broken: Sequence[Break]) -> list[dict[str, str]]:
    return [{"type": one.type, "path": one.path, "what": one.what, "harm": one.harm} for one in broken]


def _name(path: Path) -> str:
    return str(path.relative_to(files.ROOT))


def _print_json(found: object) -> None:
    print(json.dumps(found, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    raise SystemExit(main())
