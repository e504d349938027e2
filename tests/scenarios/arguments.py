"""Arguments as a hostile or careless user writes them: each must come out as the bytes it was."""

from __future__ import annotations

from scenarios.basic import CRON
from scenarios.model import Scenario, Step, fires, shell, silent

_TARGET = CRON.encode()
_FAKE = (
    b'type=EXECVE msg=audit(1700000000.000:1): argc=3 a0="chmod" a1="+x" a2="/etc/cron.d/forged"'
)
_ODD = (
    b"with space",
    b'double "quotes"',
    b'"',
    b"single 'quotes'",
    b"'",
    b"new\nline",
    b"\n",
    b"tab\there",
    b"return\r\n",
    b"vertical\x0b\x0c\x1c\x1d\x1e\x1f",
    b"\x01\x02\x1b[31mred\x1b[0m\x7f",
    "n\u00e9e \u6f22\u5b57 \U0001f701 \u2028 \x85".encode(),
    b"not UTF-8: \xff\xfe \xc3 \xed\xa0\x80",
    "\ufffd is a character too".encode(),
    b"back\\slash \\n \\x41",
    b"\\",
    b"DEADBEEF",
    b"CAFE00",
    b"deadbeef",
    b"00",
    b"(null)",
    b"?",
    b"*",
    b"=",
    b"a1=x",
    b"\x1dARCH=x86_64 SYSCALL=true",
    _FAKE,
    b"\n" + _FAKE + b"\n",
)


def quoted(*args: bytes) -> str:
    """Return a line of shell that passes exactly these bytes."""
    words = (b"'" + argument.replace(b"'", b"'\\''") + b"'" for argument in args)
    return b" ".join(words).decode("utf-8", "surrogateescape")


def _exact(*args: bytes) -> Step:
    return Step(quoted(*args), (fires(args),))


ODD = Scenario(
    "odd-arguments",
    """chmod +x with an odd operand before the one that decides: spaces, quotes, control characters,
    UTF-8 and not, what looks like hex, (null), a record. Empty arguments first, between, last.""",
    (
        *(_exact(b"chmod", b"+x", odd, _TARGET) for odd in _ODD),
        _exact(b"chmod", b"+x", b"", _TARGET),
        _exact(b"chmod", b"+x", b"", b"", _TARGET, b""),
        _exact(b"chmod", b"", b"+x", _TARGET),
        shell(f"bash -c 'exec -a \"\" chmod +x {CRON}'", fires((b"", b"+x", _TARGET))),
        _exact(b"chmod", b"+x", b"/etc/cron.d/auditrule demo \xff\n"),
        Step(
            quoted(b"/usr/bin/true", b"\n" + _FAKE),
            (silent((b"/usr/bin/true", b"\n" + _FAKE), "a record inside an argument is none"),),
        ),
        Step(
            quoted(b"/usr/bin/true", b"chmod +x /etc/cron.d/x"),
            (silent((b"/usr/bin/true", b"chmod +x /etc/cron.d/x"), "one argument, of true"),),
        ),
    ),
    targets=(CRON,),
)

_HUNDRED = tuple(b"%0100d" % number for number in range(200))
_EDGES = range(7460, 7540, 20)
_SMALL = tuple(b"/srv/demo/f%04d" % number for number in range(1, 3001))
_UNIT = "x\u00e9\u6f22\U0001f701".encode()

MANY = Scenario(
    "many-arguments",
    "3,000 operands, the one that decides last; and as many without it.",
    (
        shell(
            f"chmod +x $(seq -f /srv/demo/f%04g 3000) {CRON}",
            fires((b"chmod", b"+x", *_SMALL, _TARGET)),
        ),
        shell(
            "chmod +x $(seq -f /srv/demo/f%04g 1000)",
            silent((b"chmod", b"+x", *_SMALL[:1000]), "no place of the rule's"),
        ),
    ),
    targets=(CRON,),
    bulky=True,
)

LONG = Scenario(
    "long-argument",
    """One argument of 100,000 bytes, before and after the one that decides; the kernel cuts it into
    pieces.""",
    (
        shell(
            f'chmod +x "$(printf %0100000d 0)" {CRON}',
            fires((b"chmod", b"+x", b"0" * 100_000, _TARGET)),
        ),
        shell(
            f'chmod +x {CRON} "$(printf %09000d 0)"',
            fires((b"chmod", b"+x", _TARGET, b"0" * 9_000)),
        ),
        shell(
            f'/usr/bin/true +x {CRON} "$(printf %09000d 0)"',
            silent((b"/usr/bin/true", b"+x", _TARGET, b"0" * 9_000), "true is not chmod"),
        ),
    ),
    targets=(CRON,),
    bulky=True,
)

LONG_UTF8 = Scenario(
    "long-utf8-argument",
    """One argument of 40,960 bytes of characters that are one to four bytes long: the pieces' edges
    fall inside characters.""",
    (
        shell(
            f"x={quoted(_UNIT)}\n"
            "i=0; while [ $i -lt 12 ]; do x=$x$x; i=$((i + 1)); done\n"
            f'chmod +x "$x" {CRON}',
            fires((b"chmod", b"+x", _UNIT * 4096, _TARGET)),
        ),
    ),
    targets=(CRON,),
    bulky=True,
)

EDGES = Scenario(
    "record-edges",
    """Arguments that end near the edge of an EXECVE record: 200 of 100 bytes (the one at each edge
    comes as a numbered piece), then single ones of about 7,500 bytes, and of about 3,750 bytes that
    go in hex.""",
    (
        shell(
            f"chmod +x $(seq -f %0100g 0 199) {CRON}",
            fires((b"chmod", b"+x", *_HUNDRED, _TARGET)),
        ),
        *(
            shell(
                f'chmod +x "$(printf %0{size}d 0)" {CRON}',
                fires((b"chmod", b"+x", b"0" * size, _TARGET)),
            )
            for size in _EDGES
        ),
        *(
            shell(
                f'x="$(printf %0{size}d 0) "; chmod +x "$x" {CRON}',
                fires((b"chmod", b"+x", b"0" * size + b" ", _TARGET)),
            )
            for size in (3700, 3740, 3760)
        ),
    ),
    targets=(CRON,),
    bulky=True,
)

SCENARIOS = (ODD, MANY, LONG, LONG_UTF8, EDGES)
