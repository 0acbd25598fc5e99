"""The tests as a whole: what makes `make test` fail where each folder passes by itself."""

from __future__ import annotations

from collections import Counter

from documents import ROOT


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    """In a folder that is a package they are told apart by its name."""
    folders = [path for path in (ROOT / "tests").iterdir() if path.is_dir() and not (path / "__init__.py").exists()]
    names = Counter(path.name for folder in folders for path in folder.glob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
