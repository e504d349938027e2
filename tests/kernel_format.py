"""What the kernel writes, told a second time: an encoder to hold the decoder against.

After kernel/audit.c (audit_log_untrustedstring) and kernel/auditsc.c (audit_log_execve_info).
"""

from __future__ import annotations

from dataclasses import dataclass, field

RECORD_ROOM = 7500


def untrusted(data: bytes) -> str:
    """Write a string as audit_log_n_untrustedstring does: quoted if it is harmless, else hex."""
    if all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in data):
        return f'"{data.decode("ascii")}"'
    return data.hex().upper()


def execve_bodies(arguments: list[bytes], room: int = RECORD_ROOM) -> list[str]:
    """Return the bodies of the EXECVE records for `arguments`.

    An argument that does not fit into what is left of a record is announced by its length in
    characters and written in pieces, hex if the first of them must be.
    """
    bodies = []
    body = f"argc={len(arguments)}"
    for index, argument in enumerate(arguments):
        whole = f" a{index}={untrusted(argument)}"
        if len(body) + len(whole) <= room:
            body += whole
            continue
        text = untrusted(argument)
        is_hex = not text.startswith('"')
        length = 2 * len(argument) if is_hex else len(argument)
        body += f" a{index}_len={length}"
        piece = 0
        rest = argument
        while rest:
            left = room - len(body) - 20
            if left < 40:
                bodies.append(body)
                body = " "
                continue
            size = left // 2 if is_hex else left
            part, rest = rest[:size], rest[size:]
            written = part.hex().upper() if is_hex else f'"{part.decode("ascii")}"'
            body += f" a{index}[{piece}]={written}"
            piece += 1
    bodies.append(body)
    return bodies


@dataclass
class ExecOnKernel:
    """An exec, and the lines that the kernel and auditd would write of it."""

    arguments: list[bytes]
    exe: bytes = b"/usr/bin/chmod"
    comm: bytes = b"chmod"
    cwd: bytes = b"/root"
    paths: list[bytes] = field(default_factory=lambda: [b"/usr/bin/chmod", b"/lib64/ld.so.2"])
    pid: int = 200
    ppid: int = 100
    seconds: int = 1_700_000_000
    millis: int = 123
    serial: int = 42
    node: str | None = None
    success: str = "yes"
    tty: str = "(none)"
    arch: str = "c000003e"
    syscall: int = 59
    enriched: bool = False
    proctitle: bool = True
    room: int = RECORD_ROOM

    def line(self, kind: str, body: str, enriched: str = "") -> bytes:
        """Return a record of this event as a line, without its newline."""
        node = f"node={self.node} " if self.node else ""
        stamp = f"audit({self.seconds}.{self.millis:03d}:{self.serial})"
        tail = f"\x1d{enriched}" if self.enriched and enriched else ""
        return f"{node}type={kind} msg={stamp}: {body}{tail}".encode("latin-1")

    def lines(self) -> list[bytes]:
        """Return the event's lines in the kernel's order."""
        names = "UID GID EUID SUID FSUID EGID SGID FSGID".split()
        out = [
            self.line(
                "SYSCALL",
                f"arch={self.arch} syscall={self.syscall} success={self.success} exit=0 a0=1 a1=2"
                f" a2=3 a3=4 items={len(self.paths)} ppid={self.ppid} pid={self.pid}"
                " auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0"
                f" tty={self.tty} ses=3 comm={untrusted(self.comm)} exe={untrusted(self.exe)}"
                ' key="exec"',
                'ARCH=x86_64 SYSCALL=execve AUID="ann" ' + " ".join(f'{n}="root"' for n in names),
            )
        ]
        out += [self.line("EXECVE", body) for body in execve_bodies(self.arguments, self.room)]
        out.append(self.line("CWD", f"cwd={untrusted(self.cwd)}"))
        out += [
            self.line(
                "PATH",
                f"item={item} name={untrusted(path)} inode=1 dev=fe:00 mode=0100755 ouid=0 ogid=0"
                " rdev=00:00 nametype=NORMAL",
                'OUID="root" OGID="root"',
            )
            for item, path in enumerate(self.paths)
        ]
        if self.proctitle:
            title = b"\0".join(self.arguments)[:128]
            out.append(self.line("PROCTITLE", f"proctitle={untrusted(title)}"))
        return out
