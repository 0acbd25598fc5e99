"""`python -m chaos.proof` (`make proof`): every long run there is, one after another.

A run that has passed is not made again for the same commit; an interrupted one goes on by itself where it was.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chaos.results import PROOF, commit
from devstack.settings import CLONE

LIST: Final = Path(__file__).with_name("proof.list")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The names and commands of a list. Raises `ValueError` for a line that is none."""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, command = line.partition(":")
        if not colon or not command.strip():
            raise ValueError(f"this line is not `name: command`: {line!r}")
        words = shlex.split(command)
        yield name.strip(), [sys.executable, *words[1:]] if words[0] == "python" else words


def main() -> int:
    """Run what is left of the list; returns 0 where all of it has passed."""
    kept = PROOF / "proof" / f"{commit()}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict[str, object]] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = list(commands(LIST.read_text()))
    for number, (name, argv) in enumerate(wanted, 1):
        if done.get(name, {}).get("exit") == 0:
            print(f"{number}/{len(wanted)} {name}: passed at {done[name]['at']}", flush=True)
            continue
        print(f"{number}/{len(wanted)} {name}: {shlex.join(argv)}", flush=True)
        began = time.monotonic()
        code = subprocess.run(argv, cwd=CLONE, check=False).returncode
        took_s = round(time.monotonic() - began)
        print(f"{number}/{len(wanted)} {name}: exit {code} after {took_s} s", flush=True)
        done[name] = {"exit": code, "took_s": took_s, "at": datetime.now(UTC).isoformat(), "command": shlex.join(argv)}
        kept.write_text(json.dumps(done, indent=1))
    return 0 if all(done[name]["exit"] == 0 for name, _ in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
