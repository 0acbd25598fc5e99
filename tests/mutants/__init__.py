"""Bugs made by hand: each is a small patch of the product, and each has to be found by the project's own tests.

`make mutants` runs all of them, `tests/system/test_mutants.py` those that are fast. See `docs/guarantees.md`.
"""
