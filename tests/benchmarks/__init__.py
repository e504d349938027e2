"""Measurements, not tests: `python -m tests.benchmarks` runs them and prints a Markdown table."""
