"""`python -m devstack.jgo_fetch COORDINATE FOLDER`: copy a Maven coordinate's jars and all it needs at run time, without Maven."""

from __future__ import annotations

import importlib
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def fetch(coordinate: str, into: Path) -> None:
    """Copy every jar that `coordinate` needs at run time into the folder."""
    # Imported by name, because it is only installed where there is no Maven.
    jgo = importlib.import_module("jgo")
    artifacts: list[Any] = jgo.resolve(coordinate)
    with ThreadPoolExecutor(max_workers=6) as pool:
        for jar in pool.map(lambda artifact: Path(artifact.resolve()), artifacts):
            shutil.copyfile(jar, into / jar.name)


def main() -> None:
    """The command line."""
    coordinate, folder = sys.argv[1:]
    try:
        fetch(coordinate, Path(folder))
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller prints one line of it
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
