"""The JSON Schemas of the kinds in use, from what their makers publish; README.md says from where, and how. Descriptions are left
out, and of Kubernetes' definitions all that a kind does not lead to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
#: As the files of `kubernetes-validate` are named, and as kubeconform looks for them.
KUBERNETES: Final = (
    "configmap-v1",
    "deployment-apps-v1",
    "job-batch-v1",
    "namespace-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "secret-v1",
    "service-v1",
    "serviceaccount-v1",
    "statefulset-apps-v1",
)
OTHERS_FILE: Final = "_definitions.json"
OTHERS_ADDRESS: Final = f"/api/{OTHERS_FILE}"


def plain(schema: Any, named: bool = False) -> Any:
    """Without descriptions, and without what is only for Kubernetes. `named`: the keys are a user's, not the schema's."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema.replace(OTHERS_ADDRESS, "") if isinstance(schema, str) else schema
    return {
        key: plain(value, key in ("properties", "$defs") and not named)
        for key, value in schema.items()
        if named or (key not in ("description", "$id") and not key.startswith("x-kubernetes"))
    }


def kubernetes(folder: Path, name: str) -> dict[str, Any]:
    """One kind, with the definitions that it leads to."""
    every = json.loads((folder / OTHERS_FILE).read_text())["$defs"]
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    wanted, seen = _refers_to(found), set[str]()
    while todo := wanted - seen:
        seen |= todo
        wanted |= {ref for one in todo for ref in _refers_to(every[one])}
    result: dict[str, Any] = plain(found)
    return {**result, "$defs": {one: plain(every[one]) for one in sorted(seen)}}


def _refers_to(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_refers_to, schema))
    if not isinstance(schema, dict):
        return set()
    here = {ref.rpartition("/")[2]} if isinstance(ref := schema.get("$ref"), str) else set()
    return here.union(*map(_refers_to, schema.values()))


def custom(path: Path) -> dict[str, dict[str, Any]]:
    """The versions of a CustomResourceDefinition, by the name of their file."""
    spec = yaml.safe_load(path.read_text())["spec"]
    kind, group = spec["names"]["kind"].lower(), spec["group"].split(".")[0]
    return {
        f"{kind}-{group}-{version['name']}": strict(plain(preserved(version["schema"]["openAPIV3Schema"])), root=True)
        for version in spec["versions"]
        if version["served"]
    }


def preserved(schema: Any) -> Any:
    """What a definition leaves open stays open."""
    if isinstance(schema, list):
        return [preserved(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: preserved(value) for key, value in schema.items()}
    if found.get("x-kubernetes-preserve-unknown-fields") is True:
        found["additionalProperties"] = True
    if found.pop("x-kubernetes-int-or-string", None) is True:
        return {"type": ["integer", "string"]}
    return found


def strict(schema: Any, root: bool = False) -> Any:
    """A field that is not named is refused, as the server would with `--validate=strict`."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object" and not root:
        found.setdefault("additionalProperties", False)
    return found


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubernetes", type=Path, required=True, help="a folder of kubernetes-validate's schemas")
    parser.add_argument("--custom", type=Path, nargs="*", default=[], help="files with a CustomResourceDefinition")
    chosen = parser.parse_args()
    found = {name: kubernetes(chosen.kubernetes, name) for name in KUBERNETES}
    for path in chosen.custom:
        found |= custom(path)
    for name, schema in found.items():
        (HERE / f"{name}.json").write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
