"""Imports that do not find an optional package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def absent(package: str) -> Iterator[None]:
    """Within it an import of the package fails, as if it were not installed; unless it is imported already. (That `None` among
    `sys.modules` does this is documented with the import statement.)"""
    modules: dict[str, Any] = sys.modules
    if package in modules:
        yield
        return
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]
