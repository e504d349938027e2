"""Runs a command and tells what it took, as JSON: `python measured.py STDIN STDOUT COMMAND...`.

A process of its own, and a small one: the kernel counts the memory of the process that starts a
program as the program's own peak (exec_mmap in fs/exec.c), so nothing that takes less than the
about 10 MB of this one can be told from it.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    source, output, *command = sys.argv[1:]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    taken = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(taken), file=sys.stderr)


if __name__ == "__main__":
    main()
