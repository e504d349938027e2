"""What is wrong with a rule file, in words for the person who wrote it."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_TOML_PLACE = re.compile(
    r"(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", re.DOTALL
)
_LITERAL = re.compile(r"'([^']*)'")

# TOML's names for the types, as its specification has them (https://toml.io/en/v1.0.0).
_TOML_TYPES: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
}
_EXPECTED: Final = {
    "string_type": "a string",
    "int_type": "an integer",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
}


def toml_type(value: object) -> str:
    """Return what TOML calls a value of this type, with its article."""
    return _TOML_TYPES.get(type(value), "a date or time")


def field_name(location: tuple[int | str, ...]) -> str:
    """Return a place in the file as one name: ``rule.threat[0].tactic.id``."""
    name = ""
    for step in location:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name


def model_problems(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield (field, reason) for each thing that the models object to."""
    for detail in error.errors(include_url=False):
        yield field_name(detail["loc"]), _reason(detail)


def toml_problem(error: ValueError) -> tuple[str, int | None, int | None]:
    """Return (reason, line, column) of what tomllib raised; lines and columns count from 1.

    There is no place when the text ended too early, nor when a number is too long for Python.
    """
    found = _TOML_PLACE.fullmatch(str(error))
    if found is None:
        return f"is not TOML: {error}", None, None
    return f"is not TOML: {found['what']}", int(found["line"]), int(found["column"])


def _reason(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {toml_type(value)}"
    if kind == "literal_error":
        choices = ", ".join(_LITERAL.findall(context["expected"]))
        return f"must be one of {choices}, not {_shown(value)}"
    if kind == "greater_than_equal":
        return f"must be {context['ge']} or more, not {_shown(value)}"
    if kind == "less_than_equal":
        return f"must be {context['le']} or less, not {_shown(value)}"
    if kind == "value_error":
        return str(context["error"])
    return detail["msg"]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
