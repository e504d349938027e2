r"""The words of EQL: names, strings, numbers, as text and as values, in both directions.

Source: Elasticsearch's EQL syntax reference and the lexer of its EQL parser (8.x). Its choices that
surprise: keywords are lower case only; a string ends on its own line and knows only the escapes
\b \t \n \f \r \" \' \\ and \u{…}; a raw string is \"\"\"…\"\"\", one line too, and may end in
one or two quotes of its own; strings in single quotes are of an older EQL and refused.
"""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    "and any by false in join like maxspan not null of or regex sample sequence true until where "
    "with".split()
)

NAME = r"[A-Za-z_@][A-Za-z0-9_]*"
QUOTED_NAME = r"`(?:[^`]|``)+`"
DOTTED_NAME = rf"(?:{NAME}|{QUOTED_NAME})(?:\.(?:{NAME}|{QUOTED_NAME}))*"
RAW_STRING = r'"""[^\r\n]*?"""(?:"?"?)'
ESCAPE = r'\\(?:[btnfr"\'\\]|u\{[0-9A-Fa-f]{2,8}\})'
STRING = rf'"(?!"")(?:{ESCAPE}|[^\r\n"\\])*"'
NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
COMMENT = r"//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/"

_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_ESCAPED = {value: "\\" + letter for letter, value in _ESCAPES.items() if value != "'"}
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

_escape = re.compile(ESCAPE)
_plain_name = re.compile(NAME)
_name_part = re.compile(rf"{NAME}|{QUOTED_NAME}")


def read_string(literal: str) -> str:
    r"""Return what a string literal stands for; ValueError if a \u{…} names no character."""
    if literal.startswith('"""') and len(literal) > len('""') * 2:
        return literal[3:-3]
    return _escape.sub(_read_escape, literal[1:-1])


def _read_escape(match: re.Match[str]) -> str:
    body = match[0][1:]
    if body[0] != "u":
        return _ESCAPES[body]
    code = int(body[2:-1], 16)
    if code > _LAST_CODE_POINT or code in _SURROGATES:
        raise ValueError(f"{match[0]} is no Unicode character")
    return chr(code)


def write_string(value: str) -> str:
    """Return the literal, with escapes, that reads as the value."""
    return '"' + "".join(map(_write_character, value)) + '"'


def _write_character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isprintable() or 0xD800 <= ord(character) < 0xE000:
        return character
    return f"\\u{{{ord(character):02x}}}"


def read_name(text: str) -> str:
    """Return the dotted field name without its back quotes."""
    if "`" not in text:
        return text
    return ".".join(
        part[1:-1].replace("``", "`") if part[0] == "`" else part
        for part in _name_part.findall(text)
    )


def write_name(name: str) -> str:
    """Return the name as it may stand in a query, in back quotes where it must."""
    if all(is_plain_name(part) for part in name.split(".")):
        return name
    return "`" + name.replace("`", "``") + "`"


def is_plain_name(text: str) -> bool:
    """Tell whether the text is an identifier that needs no quotes."""
    return _plain_name.fullmatch(text) is not None and text not in KEYWORDS
