"""The committed renderings of deploy/kubernetes are what kustomize makes today."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")),
    reason="neither kustomize nor kubectl here; tests/unit/test_kubernetes.py compares the digests of the renderings all the same",
)
def test_kustomize_makes_what_is_committed() -> None:
    program = [sys.executable, "deploy/kubernetes/render.py", "--check", "--no-validation"]
    found = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
