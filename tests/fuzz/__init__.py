"""Fuzzing, guided by coverage: `python -m tests.fuzz TARGET`; it is no part of the tests."""
