"""Where fuzzing starts from: the captured logs and the rules' queries, in small pieces."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_LONGEST = 4000
_WORDS = {
    "grammar": r"""
        node=h\x20 type=SYSCALL\x20 msg=audit( 1.000:1):\x20 msg=' '\x1d a0= a0[0]= a1_len= argc=
        \x1dUID= success=yes (null) =\x22 \x22\x20 res= op= :18446744073709551616)
        """,
    "pipeline": r"""
        \x0atype=SYSCALL\x20msg=audit(1.000:1):\x20 \x0atype=EXECVE\x20msg=audit(1.000:1):\x20
        \x0atype=PATH\x20msg=audit(1.000:1):\x20 \x0atype=EOE\x20msg=audit(1.000:1):\x20
        \x0atype=PROCTITLE\x20msg=audit(1.000:1):\x20 \x0atype=CWD\x20msg=audit(1.000:1):\x20
        \x0atype=DAEMON_START\x20msg=audit(1.000:1):\x20 node=h\x20 arch=c000003e syscall=59
        syscall=56 syscall=231 syscall=435 success=yes exit=7 pid=7 ppid=7 item=0 item=1 argc=2
        a0=\x22/bin/sh\x22 a1=\x22/x\x22 name=\x22/x\x22 cwd=\x22/\x22 exe=\x22/bin/sh\x22 tty=pts1
        \x1dUID=\x22root\x22 a999999999= a1[0]= a1_len=
        """,
    "eql": r"""
        where process any and or not in in~ like like~ regex regex~ : == != <= >= ( ) [ ] , true
        false null \x22 \x22\x22\x22 \x60 ? * sequence by with maxspan=1m until sample | head tail
        unique sort filter count // /* */ process.name process.args wildcard( length( concat(
        cidrMatch( endsWith~( substring( indexOf( add( number( between( stringContains( match( \\x
        \x00{\x22process\x22:{\x22name\x22:\x22a\x22}} !
        """,
}


def write(target: str, folder: Path) -> None:
    """Write the seeds of a target, a file each."""
    folder.mkdir(parents=True)
    kinds = {"grammar": _lines, "pipeline": _stretches, "eql": _queries}
    for number, seed in enumerate(dict.fromkeys(kinds[target]())):
        if len(seed) <= _LONGEST:
            (folder / f"{number:05d}").write_bytes(seed)


def dictionary(target: str) -> str:
    """Return what is worth putting in, in libFuzzer's form."""
    return "".join(f'"{word}"\n' for word in _WORDS[target].split())


def _logs() -> Iterator[bytes]:
    for folder in ("handwritten", "logs"):
        for path in sorted((ROOT / "fixtures" / folder).glob("*.log")):
            yield path.read_bytes()


def _lines() -> Iterator[bytes]:
    seen = set()
    for log in _logs():
        for line in log.split(b"\n"):
            kind = (line.partition(b" msg=")[0], b"\x1d" in line, len(line) // 200)
            if kind not in seen:
                seen.add(kind)
                yield line


def _stretches() -> Iterator[bytes]:
    for log in _logs():
        lines = log.split(b"\n")
        for start in range(0, min(len(lines), 60), 12):
            yield b"\n".join(lines[start : start + 12])


def _queries() -> Iterator[bytes]:
    for folder in ("fixtures/rules", "config/rules"):
        for path in sorted((ROOT / folder).rglob("*.toml")):
            try:
                query = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]["query"]
            except (ValueError, KeyError, TypeError):
                continue
            yield str(query).encode()
    for text in (ROOT / "docs").glob("eql*.md") if (ROOT / "docs").is_dir() else ():
        for part in text.read_text(encoding="utf-8").split("```")[1::2]:
            yield part.partition("\n")[2].encode()
