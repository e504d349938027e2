"""Runs that take long: what must hold however much the log holds."""
