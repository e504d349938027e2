"""Runs that take long: `python -m tests.soak memory [--events N] [--limit MB]`.

`memory` streams a made-up log of N events (2 million unless told) into a replay of the bundled
rule, in a process of its own, and prints that process's peak of resident memory; the exit is 1
where it is above the limit (150 MB unless told). The log has, in each thousand events,

- execs of as many distinct pids, their parents among them;
- 20 events that never end, with a record of up to 7 kB;
- forks and exits, from a host that is named and one that is not;
- now and then an exec with one argument of 64 kB, or 5,000 short ones, and a few that are unlike
  each other in everything, so that nothing is shared;
- in the second million, 1,500 execs one after the other with 64 kB of characters that take Python
  four bytes each;
- serials that are missing, lines that are no records, and a clock that jumps.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))
from kernel_format import ExecOnKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_LIMIT_MB = 150
_EVENTS = 2_000_000
_START = 1_700_000_000
_WIDE = 1_000_000
_LARGEST_PID = 4_194_304
# Not ru_maxrss of getrusage(2): that begins with what the parent had when it forked.
_PROGRAM = """
import sys
from pathlib import Path
from auditrule.cli import main

told = Path(sys.argv.pop(1))
try:
    main()
finally:
    status = Path("/proc/self/status").read_text().splitlines()
    told.write_text(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["memory"])
    parser.add_argument("--events", type=int, default=_EVENTS, help=f"how many ({_EVENTS:,})")
    parser.add_argument("--limit", type=int, default=_LIMIT_MB, help=f"in MB ({_LIMIT_MB})")
    options = parser.parse_args()
    began = time.monotonic()
    peak, size = replay_made_up_log(options.events)
    print(
        f"{options.events:,} events, {size / 1e6:,.0f} MB of log, "
        f"{time.monotonic() - began:,.0f} s: peak of resident memory {peak / 1e6:.1f} MB"
    )
    if peak > options.limit * 1_000_000:
        sys.exit(f"above {options.limit} MB")


def replay_made_up_log(events: int) -> tuple[int, int]:
    """Replay a log of so many events; return the peak of resident memory, and the log's size."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "peak")
        command = [sys.executable, "-c", _PROGRAM, str(told)]
        command += ["replay", "-", "--output", os.devnull]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as replay:
            stream = replay.stdin
            if stream is None:
                raise RuntimeError("the replay has no standard input")
            with stream:
                size = write_log(stream, events)
        if replay.returncode:
            sys.exit(f"the replay ended with {replay.returncode}")
        return int(told.read_text()) * 1024, size


def write_log(stream: IO[bytes], events: int) -> int:
    """Write the made-up log; return its size in bytes."""
    size = 0
    for event in range(events):
        data = b"\n".join([*_lines(event), b""])
        size += len(data)
        stream.write(data)
    return size


def _lines(event: int) -> Iterator[bytes]:
    """Yield the lines of one event, a different one for each number."""
    seconds, millis = divmod(event * 7, 1000)
    stamp = f"audit({_START + seconds}.{millis:03d}:{event + event // 500})"
    pid = 2 + event % (_LARGEST_PID - 2)
    node = "node=other.example " if event % 3 == 0 else ""
    step = event % 1000
    head = f"{node}type=SYSCALL msg={stamp}: arch=c000003e"
    ids = f"ppid={max(1, pid - 1 - step % 7)} pid={pid} uid=0 euid=0 egid=0 tty=pts0 ses=1"
    if step % 50 == 1:
        yield f"{head} syscall=2 success=yes exit=3 items=1 {ids} {'x' * (step * 7)}".encode()
    elif step % 10 == 2:
        yield f'{head} syscall=56 success=yes exit={pid + 1} a0=11 {ids} comm="s" exe="/s"'.encode()
        yield _end(node, stamp)
    elif step % 10 == 3:
        yield f"{head} syscall=231 a0=0 {ids}".encode()
        yield _end(node, stamp)
    elif step == 4:
        yield b"\xff\x00 no record " + bytes([event % 10]) * 100
    elif step == 5:
        yield f"type=USER_CMD msg=audit({_START + event * 86400}.000:{event}): msg='x'".encode()
    else:
        yield f'{head} syscall=59 success=yes exit=0 {ids} comm="p{event}" exe="/p{event}"'.encode()
        arguments = [b"p%d" % event, b"argument %d" % event, b"+x"]
        if step == 6:
            arguments.append(b"%07d " % event * 8192)
        elif _WIDE <= event < _WIDE + 1500:
            arguments.append("\U00020000".encode() * 16_000 + b"%07d" % event)
        elif step == 7:
            arguments += [b"%d" % (event + n) for n in range(5000)]
        deed = ExecOnKernel(
            arguments,
            seconds=_START + seconds,
            millis=millis,
            serial=event + event // 500,
            node="other.example" if node else None,
            paths=[],
        )
        yield from deed.lines()[1:]


def _end(node: str, stamp: str) -> bytes:
    return f"{node}type=PROCTITLE msg={stamp}: proctitle=00".encode()


if __name__ == "__main__":
    main()
