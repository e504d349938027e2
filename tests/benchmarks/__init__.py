"""Measurements, not tests: `python -m tests.benchmarks` runs them and prints Markdown tables."""
