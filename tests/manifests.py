"""The committed renderings of deploy/kubernetes, for the tests that look at them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "deploy" / "kubernetes"
#: What docker-compose.yml runs that is no process of ours, or that Kubernetes has another word for.
NOT_OURS: Final = frozenset({"kafka", "postgres", "ready", "prometheus", "grafana", "smtp-sink", "provision"})

Manifest = dict[str, Any]


@cache
def script(name: str) -> ModuleType:
    """A program of that folder, or of `deploy`."""
    path = next(path for path in (FOLDER / f"{name}.py", FOLDER.parent / f"{name}.py") if path.exists())
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def rendered(overlay: str) -> list[Manifest]:
    text = (FOLDER / "rendered" / f"{overlay}.yaml").read_text()
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


@cache
def compose() -> Manifest:
    found: Manifest = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def of_kind(overlay: str, *kinds: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in rendered(overlay) if one["kind"] in kinds}


def processes(overlay: str) -> dict[str, Manifest]:
    """The pods of ours, by their process: what is in compose, and the job."""
    found = of_kind(overlay, "Deployment", "Job")
    return {name: one["spec"]["template"] for name, one in found.items() if name != "smtp-sink"}


def container(pod: Manifest) -> Manifest:
    (found,) = pod["spec"]["containers"]
    return dict(found)


def environment(overlay: str, pod: Manifest) -> dict[str, Any]:
    """What a process is told: a text, or where it comes from."""
    told: dict[str, Any] = {}
    maps = of_kind(overlay, "ConfigMap")
    for source in container(pod).get("envFrom", ()):
        told |= maps[source["configMapRef"]["name"]]["data"]
    return told | {one["name"]: one.get("value", one.get("valueFrom")) for one in container(pod).get("env", ())}


def secrets_of(pod: Manifest) -> Iterator[tuple[str, str]]:
    """The secrets that a pod needs, and the key of each."""
    for one in container(pod).get("env", ()):
        if ref := one.get("valueFrom", {}).get("secretKeyRef"):
            yield ref["name"], ref["key"]


def chosen(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes something with these labels."""
    wanted = selector.get("matchLabels", {})
    terms = selector.get("matchExpressions", ())
    assert all(term["operator"] == "In" for term in terms)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(term["key"]) in term["values"] for term in terms
    )
