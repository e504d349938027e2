"""The pipeline: ECS documents of the audit log in, alerts out.

Replay and daemon share it; what differs between them, where lines come from and when pending
events are given up, stays with them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditrule.alerts.model import Alert
    from auditrule.reader import Fields
    from auditrule.rules.detection import Detection
    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)


def detect(documents: Iterable[Fields], detector: Detector) -> Iterator[Alert]:
    """Yield an alert for each rule of `detector` that documents match, alone or with earlier."""
    for document in documents:
        for detection in detector.detect(document):
            yield from _alerts(detection)


def conclude(detector: Detector) -> Iterator[Alert]:
    """Yield the alerts that the end of the documents completes; `detector` then starts anew."""
    for detection in detector.finish():
        yield from _alerts(detection)


def _alerts(detection: Detection) -> Iterator[Alert]:
    """Yield the alert of a detection.

    Events from a checkpoint of another version may be no documents of this one: an alert does
    without them, as long as any is left.
    """
    # Most of a log, if not all, goes through without them.
    from pydantic import ValidationError

    from auditrule.alerts.model import build_alert
    from auditrule.ecs.document import Document

    documents = []
    for event in detection.events:
        try:
            documents.append(Document.model_validate(event))
        except ValidationError:
            _log.warning(
                "rule %s: an event that another version kept cannot be shown", detection.rule.id
            )
    if documents:
        yield build_alert(documents, detection.rule, detection.join_keys)
