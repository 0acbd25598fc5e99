"""What a run leaves behind: a JSON file with seed, commit and result, in a folder that git ignores."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

CLONE: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = CLONE / ".proof"


def commit() -> str:
    """The commit that is checked out; `+` where files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=CLONE, capture_output=True, text=True, check=False)  # noqa: S603, S607
        return done.stdout.strip()

    return (git("rev-parse", "HEAD") or "unknown") + ("+" if git("status", "--porcelain") else "")


def write(name: str, seed: int, result: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Keep the result of a run; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{seed}.json"
    told = {"run": name, "seed": seed, "commit": commit(), "written_at": datetime.now(UTC).isoformat(), **result}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(told, indent=2) + "\n")
    fresh.replace(path)
    return path


def read(name: str, seed: int, folder: Path = FOLDER) -> dict[str, Any] | None:
    """What an earlier run of that seed left; None: there was none."""
    path = folder / f"{name}-{seed}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
