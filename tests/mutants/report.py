"""The result of a run: as JSON for whoever goes on with it, as a table for `docs/guarantees.md`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from mutants.lab import Result
from mutants.mutant import ROOT, Mutant, Part

_GIT: Final = ("git", "rev-parse", "--short", "HEAD")


def report(todo: Sequence[tuple[Part, Mutant]], results: Sequence[Result]) -> dict[str, Any]:
    """The run as JSON."""
    rows = [
        {"part": part.name, "bug": mutant.bug, "file": mutant.file, **asdict(result)}
        for (part, mutant), result in zip(todo, results, strict=True)
    ]
    commit = subprocess.run(_GIT, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        **_sums(rows),
        "results": rows,
    }


def _sums(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    killed = [row for row in rows if row["status"] == "killed"]
    return {
        "mutants": len(rows),
        "killed": len(killed),
        "median_s": round(median(row["seconds"] for row in killed), 2) if killed else None,
        "slowest_s": max((row["seconds"] for row in killed), default=None),
        "median_cpu_s": round(median(row["cpu_seconds"] for row in killed), 2) if killed else None,
    }


def in_words(found: dict[str, Any]) -> str:
    """The run in one line."""
    return (
        f"{found['killed']} of {found['mutants']} killed; until the first failure {found['median_s']} s in the median "
        f"({found['median_cpu_s']} s of processor time), {found['slowest_s']} s at most"
    )


def as_markdown(found: dict[str, Any]) -> str:
    """The run as a table, part by part."""
    parts = dict.fromkeys(row["part"] for row in found["results"])
    lines = ["| part | killed | median | bugs |", "| --- | --- | --- | --- |"]
    for part in parts:
        rows = [row for row in found["results"] if row["part"] == part]
        sums = _sums(rows)
        names = ", ".join(row["name"] for row in rows)
        lines.append(f"| {part} | {sums['killed']} of {sums['mutants']} | {sums['median_s']} s | {names} |")
    return "\n".join([f"{found['at'][:10]}, commit {found['commit']}: {in_words(found)}.", "", *lines])
