"""The files of the published contract: what should stand in them, and what does."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from contracts.publish.asyncapi import document
from contracts.publish.schemas import Schema, message_schemas

ROOT: Final = Path(__file__).resolve().parents[2]
#: The current schemas, one file per message and version.
SCHEMAS: Final = ROOT / "contracts" / "schemas"
#: The schemas as they were at the last release: what others rely on.
PUBLISHED: Final = ROOT / "contracts" / "published"
ASYNCAPI: Final = ROOT / "contracts" / "asyncapi.json"
#: An example of every message; they are kept for ever.
SAMPLES: Final = ROOT / "tests" / "contract" / "samples"


def generated() -> dict[Path, str]:
    """What the generated files should hold."""
    schemas = message_schemas()
    whole = document(schemas, {name: read(SAMPLES / f"{name}.json") for name in schemas})
    return {**schema_files(SCHEMAS, schemas), ASYNCAPI: as_text(whole)}


def schema_files(folder: Path, schemas: Mapping[str, Schema]) -> dict[Path, str]:
    """The files of these schemas in this folder."""
    return {folder / f"{name}.json": as_text(schema) for name, schema in schemas.items()}


def read_schemas(folder: Path) -> dict[str, Schema]:
    """The schemas that stand in this folder, by the message's type."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def stale(files: Mapping[Path, str]) -> dict[Path, str]:
    """The files that do not hold what they should, each with its difference; a file that should not be there counts too."""
    folders = {path.parent for path in files} & {SCHEMAS, PUBLISHED}
    orphans = {path: "" for folder in folders for path in folder.glob("*.json") if path not in files}
    found: dict[Path, str] = {}
    for path, wanted in {**files, **orphans}.items():
        held = path.read_text() if path.exists() else ""
        if held != wanted:
            name = str(path.relative_to(ROOT))
            lines = difflib.unified_diff(
                held.splitlines(), wanted.splitlines(), name, "generated anew", lineterm="", n=2
            )
            found[path] = "\n".join(lines)
    return found


def write(files: Mapping[Path, str]) -> list[Path]:
    """Bring the files up to date; answers which were not. What should not be there is removed."""
    changed = sorted(stale(files))
    for path in changed:
        if path in files:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path])
        else:
            path.unlink()
    return changed


def read(path: Path) -> dict[str, Any]:
    """The JSON object in this file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def as_text(found: object) -> str:
    """JSON as these files hold it."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
