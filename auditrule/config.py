"""Settings: from a TOML file, overridden by environment variables ``AUDITRULE_…``.

A nested key is set by its path with two underscores between: ``AUDITRULE_ALERTS__PATH``. The file
`config/auditrule.toml` documents every key with its default. Unknown keys and wrong types are
refused.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as EnvironmentValueError

from auditrule.source.errors import plain_reason

DEFAULT_FILE = Path("/etc/auditrule/auditrule.toml")
_PREFIX = "AUDITRULE_"
_DELIMITER = "__"
_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)|localhost):(?P<port>[0-9]{1,5})"
)

Positive = Annotated[int, Field(ge=1)]


def _absolute(path: Path) -> Path:
    """Return `path`. Raises ValueError where it would depend on where the daemon was started."""
    if not path.is_absolute():
        raise ValueError(f"{str(path)!r} is not absolute: it must begin with /")
    return path


def _absolute_or_stream(path: Path) -> Path:
    return path if str(path) == "-" else _absolute(path)


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class SettingsError(ValueError):
    """Settings cannot be used; the text says where they stand, which key, and why."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(ge=0, le=3600)]


class LogSettings(_Section):
    """``[log]``: what is followed."""

    path: AbsolutePath = Path("/var/log/audit/audit.log")
    start: Literal["end", "beginning"] = "end"
    max_line: Positive = 1 << 20


class RuleSettings(_Section):
    """``[rules]``: which rules run; none named means the bundled ones."""

    paths: tuple[AbsolutePath, ...] = ()
    max_open: Positive = 10_000
    watch: bool = False


def _checked_mode(mode: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", mode):
        raise ValueError(f"{mode!r} is no octal mode such as 0640")
    return mode


class AlertSettings(_Section):
    """``[alerts]``: where alerts go, and how they are kept; ``-`` is standard output.

    `rotate_size` is in bytes, `rotate_age` in hours; 0 means never. `mode` is octal.
    """

    path: Annotated[Path, AfterValidator(_absolute_or_stream)] = Path(
        "/var/log/auditrule/alerts.ndjson"
    )
    fsync: Literal["always", "interval", "never"] = "interval"
    fsync_interval: Seconds = 1.0
    mode: Annotated[str, AfterValidator(_checked_mode)] = "0640"
    group: Annotated[str, Field(min_length=1)] | None = None
    rotate_size: Annotated[int, Field(ge=0)] = 100 << 20
    rotate_age: Annotated[float, Field(ge=0)] = 0.0
    keep: Annotated[int, Field(ge=1, le=10_000)] = 10
    compress: bool = True


class StateSettings(_Section):
    """``[state]``: the folder of the checkpoint, and the seconds between two of them at least."""

    path: AbsolutePath = Path("/var/lib/auditrule")
    interval: Seconds = 1.0


def loopback_address(listen: str) -> tuple[str, int]:
    """Return the host and the port of `listen`. Raises ValueError, which says what is wrong."""
    match = _LISTEN.fullmatch(listen)
    if match is None:
        raise ValueError(f"{listen!r} is no address such as 127.0.0.1:9273 or [::1]:9273")
    host = match["six"] or match["four"] or "127.0.0.1"
    port = int(match["port"])
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ValueError(f"{listen!r}: {host} is no address") from None
    if not is_loopback:
        raise ValueError(f"{listen!r} is not an address of the loopback interface")
    if port > 0xFFFF:
        raise ValueError(f"{listen!r}: there is no port {port}")
    return host, port


def _checked_address(listen: str) -> str:
    loopback_address(listen)
    return listen


class MetricSettings(_Section):
    """``[metrics]``: an address of the loopback interface, a file for node_exporter, or neither."""

    listen: Annotated[str, AfterValidator(_checked_address)] | None = None
    textfile: AbsolutePath | None = None


class HostSettings(_Section):
    """``[host]``: what the host is called, if not by its own name."""

    name: Annotated[str, Field(min_length=1)] | None = None


class ReassemblySettings(_Section):
    """``[reassembly]``: the limits of events that wait for records."""

    max_pending: Positive = 1000
    max_age: Seconds = 2.0
    max_bytes: Positive = 16 << 20


class ProcessSettings(_Section):
    """``[processes]``: the limits of the process table, and whether /proc is asked."""

    max_processes: Positive = 65_536
    max_bytes: Positive = 16 << 20
    proc: bool = True


class LoggingSettings(_Section):
    """``[logging]``: the daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """All settings of the daemon."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, extra="forbid", frozen=True
    )

    log: LogSettings = LogSettings()
    rules: RuleSettings = RuleSettings()
    alerts: AlertSettings = AlertSettings()
    state: StateSettings = StateSettings()
    host: HostSettings = HostSettings()
    reassembly: ReassemblySettings = ReassemblySettings()
    processes: ProcessSettings = ProcessSettings()
    metrics: MetricSettings = MetricSettings()
    logging: LoggingSettings = LoggingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override what is given, which is the file."""
        return env_settings, init_settings


_SECTIONS: dict[str, type[_Section]] = {
    name: type(field.default) for name, field in Settings.model_fields.items()
}


def load_settings(path: Path | None = None) -> Settings:
    """Return the settings of the file at `path` and the environment.

    Without a path, the file is /etc/auditrule/auditrule.toml if it is there, and else the
    defaults hold. Raises SettingsError.
    """
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    values: dict[str, Any] = {} if path is None else _read(path)
    _refuse_unknown_sections()
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain("the environment", error))) from None
    except EnvironmentValueError as error:
        # The message names the section; a list is the one value that needs a form of its own.
        raise SettingsError(f'the environment: {error} (a list is written ["…", "…"])') from None


def _read(path: Path) -> dict[str, Any]:
    """Return the tables of the file, checked: in TOML, a number between quotes is none."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {plain_reason(error)}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    problems: list[str] = []
    for name, table in values.items():
        section = _SECTIONS.get(name)
        if section is None:
            problems.append(f"{path}: {name}: no such section; there are {', '.join(_SECTIONS)}")
            continue
        try:
            section.model_validate_json(json.dumps(table, default=str), strict=True)
        except ValidationError as error:
            problems += _explain(str(path), error, name)
    if problems:
        raise SettingsError("\n".join(problems))
    return values


def _refuse_unknown_sections() -> None:
    for name in os.environ:
        section, separator, _ = name.removeprefix(_PREFIX).partition(_DELIMITER)
        if name.startswith(_PREFIX) and separator and section.lower() not in _SECTIONS:
            raise SettingsError(f"the environment: {name}: no such setting")


def _explain(where: str, error: ValidationError, *section: str) -> list[str]:
    """Return a line for each of the problems: where, which key, why."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in (*section, *problem["loc"]))
        reason = "no such key" if problem["type"] == "extra_forbidden" else problem["msg"]
        reason = reason.removeprefix("Value error, ")
        lines.append(f"{where}: {key}: {reason[:1].lower()}{reason[1:]}")
    return lines
