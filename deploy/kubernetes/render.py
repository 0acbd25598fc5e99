"""What `kustomize build` makes of each overlay, committed in `rendered/` so that a test can look at it where there is no kustomize.
`make kubernetes` renders anew and validates with kubeconform; `--check` changes nothing and says what is not current.

The first line of a rendering tells the digests of what it was made from and of itself: who changes one and forgets the other is
found by a test that needs no tool."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
RENDERED: Final = HERE / "rendered"
OVERLAYS: Final = ("local", "production")
#: Outside of this folder, and part of an overlay.
DATABASES: Final = HERE.parent / "postgres"
TOOLS: Final = HERE.parents[1] / ".tools"
KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
KUBECONFORM: Final = "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"


class MissingToolError(Exception):
    """Neither the tool nor what would build it is here."""


def sources(overlay: str) -> Iterator[Path]:
    """Every file that an overlay may be made from."""
    for folder in (HERE / "base", HERE / "components", HERE / "overlays" / overlay, DATABASES):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def header(overlay: str, body: str) -> str:
    """The first line of a rendering."""
    read = sha256()
    for path in sources(overlay):
        read.update(f"{path.relative_to(HERE.parent).as_posix()}\0".encode())
        read.update(path.read_bytes() + b"\0")
    return f"# kustomize build overlays/{overlay}; from {read.hexdigest()[:16]}, is {sha256(body.encode()).hexdigest()[:16]}\n"


def tool(name: str, module: str) -> str:
    """A program: on the path, or built from its Go module. Raises `MissingToolError`."""
    if found := shutil.which(name, path=f"{os.environ['PATH']}:{TOOLS}"):
        return found
    if not (go := shutil.which("go")):
        raise MissingToolError(f"Neither {name} nor Go, which could build it, is on the path; see README.md.")
    print(f"building {module} into {TOOLS.name} (once; minutes)", file=sys.stderr)
    subprocess.run([go, "install", module], check=True, env={**os.environ, "GOBIN": str(TOOLS)})
    return str(TOOLS / name)


def build(overlay: str) -> str:
    """What kustomize makes of it. Raises `MissingToolError`."""
    kubectl = None if shutil.which("kustomize") else shutil.which("kubectl")
    program = [kubectl, "kustomize"] if kubectl else [tool("kustomize", KUSTOMIZE), "build"]
    return subprocess.run(
        [*program, str(HERE / "overlays" / overlay)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> int:
    """1: a rendering is not current, or not valid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where a rendering is not current")
    parser.add_argument("--no-validation", action="store_true", help="without kubeconform")
    chosen = parser.parse_args()
    stale = []
    try:
        for overlay in OVERLAYS:
            body, path = build(overlay), RENDERED / f"{overlay}.yaml"
            text = header(overlay, body) + body
            if chosen.check and (not path.exists() or path.read_text() != text):
                stale.append(str(path))
            elif not chosen.check:
                path.write_text(text)
        if stale:
            print(f"error: not current (make kubernetes): {', '.join(stale)}", file=sys.stderr)
            return 1
        return 0 if chosen.no_validation else validate()
    except MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def arguments(files: Iterable[Path]) -> list[str]:
    """What kubeconform is told: these files, against the committed schemas, and no field that is not named there."""
    schemas = HERE / "schemas" / "{{ .ResourceKind }}{{ .KindSuffix }}.json"
    return ["-strict", "-summary", "-schema-location", str(schemas), *map(str, files)]


def validate() -> int:
    """kubeconform over all of it; its exit code. Raises `MissingToolError`."""
    files = [RENDERED / f"{overlay}.yaml" for overlay in OVERLAYS]
    return subprocess.run([tool("kubeconform", KUBECONFORM), *arguments(files)], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
