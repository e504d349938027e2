"""Run Elastic's detection rules on auditd's log."""

__version__ = "0.1.0"
