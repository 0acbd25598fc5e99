"""`python -m proof.fuzz`: hostile messages on the decoder, guided by which of its branches they reach (atheris, libFuzzer).

    make fuzz                                                 # installs atheris where it can be
    python -m proof.fuzz --runs 2000000 --seed 1              # goes on where it was interrupted
    python -m proof.fuzz --only .proof/fuzz-1/found/crash-... # one record again, as it is

It begins with records of `proof.decoder`, and keeps each one that reaches something new. The judge is the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from contracts.publish.schemas import message_schemas
from contracts.topics import DEFAULT_PARTITIONS
from proof import results
from proof.hostile import palette
from proof.hostile.judge import judge, record_of
from proof.hostile.maker import Maker
from proof.hostile.packing import pack, unpack
from proof.hostile.readers import INTERESTS, TOPICS, readers_of

#: With so many records the corpus begins.
BEGIN_WITH: Final = 2_000
#: So many runs has one process of the fuzzer.
CHUNK: Final = 200_000
#: A record is so large at most, and takes so long.
MOST_BYTES: Final = 8_192
MOST_S: Final = 5
_STATUS: Final = re.compile(r"^#(\d+)\s.*?\bcov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
_ERROR: Final = re.compile(r"^ ?=== Uncaught Python exception: ===\n(.+)$", re.MULTILINE)


def sow(corpus: Path, dictionary: Path, seed: int) -> None:
    """What the fuzzer begins with: records, and words that it may put in."""
    corpus.mkdir(parents=True, exist_ok=True)
    maker = Maker(seed, TOPICS, DEFAULT_PARTITIONS)
    for number in range(BEGIN_WITH):
        packed = pack(maker.make(number), TOPICS, DEFAULT_PARTITIONS)
        if packed is not None and len(packed) <= MOST_BYTES:
            (corpus / f"made-{number}").write_bytes(packed)
    words = {name.encode() for name in message_schemas()} | set(_names(list(message_schemas().values())))
    words |= {piece for piece in palette.PIECES if 0 < len(piece) < 64}
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in sorted(words)))


def _names(document: object) -> set[bytes]:
    """The names of all properties in schemas."""
    if isinstance(document, list):
        return set().union(*map(_names, document))
    if not isinstance(document, dict):
        return set()
    own = {json.dumps(name).encode() for name in document.get("properties", ())}
    return own.union(*map(_names, document.values()))


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" if byte in b'"\\' or not 32 <= byte < 127 else chr(byte) for byte in word)


def reached(told: str) -> dict[str, int]:
    """What libFuzzer's last line of status says: runs, branches and features that were reached, records that are kept."""
    found = _STATUS.findall(told)
    return dict(zip(("runs", "branches", "features", "corpus"), map(int, found[-1]), strict=True)) if found else {}


def complaint(told: str) -> str:
    """Why the fuzzer ended early: the error that it met, or the end of what it said."""
    error = _ERROR.search(told)
    return error[1] if error else told.strip()[-600:]


def fuzz(folder: Path, seed: int, part: int, runs: int) -> tuple[dict[str, int], str | None]:
    """One process of the fuzzer: what was reached, and what was wrong."""
    found = folder / "found"
    found.mkdir(exist_ok=True)
    options = {
        "runs": runs,
        "seed": seed * 1_000_000 + part + 1,
        "max_len": MOST_BYTES,
        "timeout": MOST_S,
        "dict": folder / "words",
        "artifact_prefix": f"{found}/",
    }
    argv = [sys.executable, "-m", "proof.hostile.target", str(folder / "corpus")]
    argv += [f"-{name}={value}" for name, value in options.items()]
    done = subprocess.run(argv, cwd=results.CLONE, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    came_to = reached(done.stderr)
    return came_to, None if came_to and done.returncode == 0 else complaint(done.stdout + done.stderr)


def again(path: Path) -> int:
    """One record, shown and judged by each of its readers; whatever is wrong with it is raised."""
    hostile = unpack(path.read_bytes(), TOPICS, DEFAULT_PARTITIONS)
    print(hostile)
    for service in readers_of(hostile.topic):
        print(f"{service}: {judge(record_of(hostile), DEFAULT_PARTITIONS, INTERESTS[service])}", flush=True)
    return 0


def main(arguments: list[str]) -> int:
    """0: all were right. 1: something was not. 2: atheris is not there. 3: not finished within `--for-s`; the same goes on."""
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2_000_000)
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after so long; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="from the beginning, whatever ran before")
    parser.add_argument("--only", type=Path, help="judge the record in this file again")
    asked = parser.parse_args(arguments)
    if asked.only is not None:
        return again(asked.only)
    if importlib.util.find_spec("atheris") is None:
        print(
            "error: atheris is not installed; `make fuzz` does it (Linux on x86-64, Python 3.11 to 3.13)",
            file=sys.stderr,
        )
        return 2
    fresh: dict[str, Any] = {"runs": 0, "wrong": []}
    result = (None if asked.fresh else results.read("fuzz", asked.seed)) or fresh
    folder = results.FOLDER / f"fuzz-{asked.seed}"
    if result is fresh:
        shutil.rmtree(folder, ignore_errors=True)
        sow(folder / "corpus", folder / "words", asked.seed)
    began = time.monotonic()
    while result["runs"] < asked.runs and not result["wrong"] and time.monotonic() - began < asked.for_s:
        some = min(CHUNK, asked.runs - result["runs"])
        came_to, wrong = fuzz(folder, asked.seed, result["runs"], some)
        result |= {**came_to, "runs": result["runs"] + came_to.get("runs", 0)}
        if wrong is not None:
            result["wrong"].append(wrong)
        path = results.write("fuzz", asked.seed, result)
        told = ", ".join(f"{result.get(name, 0):,} {name}" for name in ("branches", "features", "corpus"))
        print(
            f"{result['runs']:,} of {asked.runs:,} runs, {told}, {len(result['wrong'])} wrong, {path.name}", flush=True
        )
    for why in result["wrong"]:
        print(f"wrong: {why}; the record is in {folder / 'found'}, again: python -m proof.fuzz --only FILE")
    if result["wrong"]:
        return 1
    return 0 if result["runs"] >= asked.runs else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
