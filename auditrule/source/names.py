"""What the name of a rotated log tells: which log it belongs to, and how old it is.

auditd renames audit.log to audit.log.1, .2 and so on (auditd.conf(5), num_logs); logrotate does
that or appends a date (logrotate.conf(5), dateext and dateformat), and may compress.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMPRESSED = re.compile(r"(.+)\.(?:gz|bz2|xz|zst|zstd)", re.DOTALL | re.IGNORECASE)
# A day, or a month, with a time of day or an epoch behind it where the format has one.
_DATED = re.compile(
    r"(.+)[-.](?P<date>(?:19|20)\d\d-?(?:0[1-9]|1[0-2])(?:-?[0-3]\d)?(?:[-T_.]?\d{2,10})?)",
    re.DOTALL,
)
_EPOCH = re.compile(r"(.+)[-.](?P<date>\d{10})", re.DOTALL)
_NUMBERED = re.compile(r"(.+)\.(?P<number>\d{1,5})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogName:
    """A log's name taken apart.

    stem: the name without what rotation added. date: the digits of a date suffix, "" without.
    number: N of `.N`, None without; higher is older. compressed: whether the name says so.
    """

    stem: str
    date: str = ""
    number: int | None = None
    compressed: bool = False

    @property
    def age(self) -> tuple[bool, str, int]:
        """A key that sorts the files of one stem from the oldest to the newest."""
        return (not self.date, self.date, -(self.number or 0))


def parse_name(name: str) -> LogName:
    """Take a file's name apart; suffixes may be stacked (audit.log-20240101.1.gz)."""
    date, number, compressed = "", None, False
    while True:
        if match := _COMPRESSED.fullmatch(name):
            compressed = True
        elif match := _DATED.fullmatch(name) or _EPOCH.fullmatch(name):
            date = "".join(filter(str.isdigit, match["date"])) + date
        elif match := _NUMBERED.fullmatch(name):
            number = int(match["number"])
        else:
            return LogName(name, date, number, compressed)
        name = match[1]
