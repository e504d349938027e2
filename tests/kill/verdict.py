"""What the alert files hold, against what they should."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kill.traffic import Expected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SHOWN = 5


@dataclass(slots=True)
class Verdict:
    """`lost` and `repeated` alerts, and what else is `wrong`, as one line each."""

    lost: list[Expected] = field(default_factory=list)
    repeated: list[Expected] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to complain of."""
        return bool(self.lost or self.repeated or self.wrong)

    def __str__(self) -> str:
        lines = [
            f"{len(found)} {what}, such as {', '.join(map(str, sorted(found)[:_SHOWN]))}"
            for what, found in (("lost", self.lost), ("repeated", self.repeated))
            if found
        ]
        return "\n".join([*lines, *self.wrong[:_SHOWN]])


def alert_files(alerts: Path) -> list[Path]:
    """Return the alert file and its rotated siblings, the newest first."""
    pattern = re.compile(re.escape(alerts.name) + r"(?:\.(\d+)(?:\.gz)?)?")
    found = [
        (int(match[1] or 0), path)
        for path in alerts.parent.iterdir()
        if (match := pattern.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def read_alert_file(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def compare(alerts: Path, expected: Iterable[Expected]) -> Verdict:
    """Read all alert files, and tell what is not as it should be.

    An alert is known by its rule, label and serial; an id stands for one alert and no other.
    """
    verdict = Verdict()
    found: Counter[Expected] = Counter()
    ids: dict[str, Expected] = {}
    wanted = {_key(each): each for each in expected}
    for path in alert_files(alerts):
        for document in _documents(path, verdict):
            if document["event"]["kind"] != "alert":
                verdict.wrong.append(f"{path.name}: {document.get('message', document)}")
                continue
            alert = _alert(document)
            key = _key(alert)
            found[key] += 1
            if ids.setdefault(document["event"]["hash"], key) != key:
                verdict.wrong.append(f"{path.name}: the id of another alert: {alert}")
            if key not in wanted:
                verdict.wrong.append(f"{path.name}: not to be alerted: {alert}")
            elif wanted[key] != alert:
                verdict.wrong.append(f"{path.name}: {alert} should be {wanted[key]}")
    verdict.lost = [each for key, each in wanted.items() if not found[key]]
    verdict.repeated = [each for each, number in found.items() if number > 1]
    return verdict


def _key(expected: Expected) -> Expected:
    return Expected(expected.rule, expected.label, expected.serial)


def _documents(path: Path, verdict: Verdict) -> Iterable[dict[str, Any]]:
    try:
        data = read_alert_file(path)
    except FileNotFoundError:
        return  # the daemon has rotated it meanwhile; the next look will find it
    except (OSError, EOFError) as error:
        verdict.wrong.append(f"{path.name}: {error}")
        return
    *lines, rest = data.split(b"\n")
    if rest:
        verdict.wrong.append(f"{path.name}: a last line without its end: {rest[-100:]!r}")
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            verdict.wrong.append(f"{path.name}: not JSON: {line[:100]!r} … {line[-100:]!r}")


def _alert(document: dict[str, Any]) -> Expected:
    process = document["process"]
    return Expected(
        document["rule"]["uuid"],
        process["args"][-1],
        document["event"]["sequence"],
        process.get("parent", {}).get("name"),
    )
