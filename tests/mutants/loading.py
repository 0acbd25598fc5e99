"""How a mutant gets into the interpreter: its module is loaded from the changed text, and whatever imports it is loaded anew."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any, Final

import grimp

from mutants.mutant import ROOT, Mutant

PACKAGES: Final = ("contracts", "messaging", "services", "simulation", "audit", "orderctl", "devstack")
#: What tests import and what takes long to load.
_HEAVY: Final = (
    "pytest",
    "_pytest.assertion.rewrite",
    "pytest_asyncio.plugin",
    "hypothesis.extra.pytestplugin",
    "hypothesis.stateful",
)

#: No test that is asked here needs them; Faust changes the event loop, the console takes long to load.
_APART: Final = ("services.recommendation.learner", "services.console")


class Code:
    """The product's modules, loaded once; a forked process changes one of them."""

    def __init__(self) -> None:
        self._graph = grimp.build_graph(*PACKAGES, cache_dir=None)
        for name in (*_HEAVY, *sorted(self._graph.modules)):
            if not name.endswith("__main__") and not name.startswith(_APART):
                importlib.import_module(name)

    def change(self, mutant: Mutant) -> None:
        """From now on this process runs the mutant."""
        sys.meta_path.insert(0, _Finder(mutant))
        self.load_anew([mutant.module])

    def load_anew(self, modules: Iterable[str]) -> None:
        """Forget these modules, whatever imports them, and the tests: they are loaded when they are asked for."""
        tests = {name for name, module in sys.modules.items() if _is_test(module)}
        for name in {
            *modules,
            *(one for module in modules for one in self._graph.find_downstream_modules(module)),
            *tests,
        }:
            if sys.modules.pop(name, None) is not None:
                package, _, attribute = name.rpartition(".")
                vars(sys.modules[package] if package in sys.modules else ModuleType("")).pop(attribute, None)


def _is_test(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None) or ""
    return file.startswith(f"{ROOT}/tests/") and not module.__name__.startswith("mutants")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        file = str(ROOT / self._mutant.file)
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self._mutant))


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the changed text; nothing is cached."""

    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType | None:
        code: Any = compile(self._mutant.source(), self.path, "exec", dont_inherit=True)
        return code
