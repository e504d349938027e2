"""Elastic's rule files, and the detector that runs them.

``load_rules`` makes a ``RuleSet`` of files and trees of files; a ``Detector`` tells which of its
rules events match.
"""

from auditrule.rules.detection import Detection
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.rules.rule import Rule
from auditrule.rules.ruleset import (
    DisabledRule,
    NotEqlRule,
    RuleCounts,
    RuleError,
    RuleRow,
    RuleSet,
    SkippedFile,
    UnsupportedRule,
    rule_rows,
)

__all__ = [
    "Detection",
    "Detector",
    "DisabledRule",
    "NotEqlRule",
    "Rule",
    "RuleCounts",
    "RuleError",
    "RuleRow",
    "RuleSet",
    "SkippedFile",
    "UnsupportedRule",
    "load_rules",
    "rule_rows",
]
