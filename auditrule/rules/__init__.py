"""Elastic's rule files, and the detector that runs them."""
