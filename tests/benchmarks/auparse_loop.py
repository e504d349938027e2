"""What a script of one's own would do: read the fields of SYSCALL and EXECVE through libauparse.

`/usr/bin/python3 auparse_loop.py LOG`; Debian's python3-audit is there for Debian's Python alone.
"""

import importlib
import sys

_SYSCALL, _EXECVE = 1300, 1309  # linux/audit.h


def main() -> None:
    auparse = importlib.import_module("auparse")
    parser = auparse.AuParser(auparse.AUSOURCE_FILE, sys.argv[1])
    execs = 0
    while parser.parse_next_event():
        parser.first_record()
        while True:
            kind = parser.get_type()
            if kind in (_SYSCALL, _EXECVE):
                execs += kind == _EXECVE
                fields = {}
                parser.first_field()
                while True:
                    fields[parser.get_field_name()] = parser.get_field_str()
                    if not parser.next_field():
                        break
            if not parser.next_record():
                break
    print(execs)


if __name__ == "__main__":
    main()
