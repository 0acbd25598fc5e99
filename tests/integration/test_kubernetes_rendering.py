"""The committed renderings of deploy/kubernetes are what kustomize makes today, and kubeconform finds nothing wrong with them.

tests/unit/test_kubernetes.py needs neither program: it compares the renderings' digests and validates them with jsonschema-rs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from manifests import FOLDER, ROOT, rendered, script


@pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")),
    reason="neither kustomize nor kubectl here; tests/unit/test_kubernetes.py compares the digests of the renderings all the same",
)
def test_kustomize_makes_what_is_committed() -> None:
    program = [sys.executable, "deploy/kubernetes/render.py", "--check", "--no-validation"]
    found = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr


@pytest.fixture(scope="module")
def kubeconform() -> Callable[..., subprocess.CompletedProcess[str]]:
    """kubeconform on these files, as `make kubernetes` runs it."""
    render = script("render")
    try:
        program = render.tool("kubeconform", render.KUBECONFORM)
    except (render.MissingToolError, subprocess.CalledProcessError) as error:
        pytest.skip(f"kubeconform is not here and cannot be built; jsonschema-rs is what validates here: {error}")

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        argv = [program, *render.arguments(files)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_kubeconform_finds_every_committed_manifest_valid(
    kubeconform: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    overlays = script("render").OVERLAYS
    found = kubeconform(*(FOLDER / "rendered" / f"{overlay}.yaml" for overlay in overlays))
    assert found.returncode == 0, found.stdout + found.stderr
    count = sum(len(rendered(overlay)) for overlay in overlays)
    assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in found.stdout


def test_kubeconform_refuses_a_field_that_there_is_not(
    kubeconform: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    bent = next(one for one in rendered("local") if one["kind"] == "Deployment")
    (tmp_path / "bent.yaml").write_text(yaml.safe_dump({**bent, "spec": {**bent["spec"], "replica": 2}}))
    found = kubeconform(tmp_path / "bent.yaml")
    assert found.returncode == 1
    assert "replica" in found.stdout
