"""The daemon's own log: its forms, and what a hostile log cannot make of it."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.daemon import logs
from auditrule.daemon.logs import (
    BURST,
    INTERVAL,
    RATE,
    JournalFormatter,
    JsonFormatter,
    LimitedHandler,
    TextFormatter,
    set_up_logging,
    tell_suppressed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Limited:
    """A logger of its own, its clock and its lines."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.handler = LimitedHandler(self.stream, clock=self.clock)
        self.handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self.logger = logging.Logger("hostile")
        self.logger.addHandler(self.handler)

    def flood(self, count: int, level: int = logging.WARNING) -> None:
        for number in range(count):
            self.logger.log(level, "line %d", number)

    def lines(self) -> list[str]:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text.splitlines()


@pytest.fixture
def limited() -> Limited:
    return Limited()


def record(message: str, *arguments: object, failure: Exception | None = None) -> logging.LogRecord:
    info = None if failure is None else (type(failure), failure, failure.__traceback__)
    return logging.LogRecord(
        "auditrule.test", logging.WARNING, __file__, 1, message, arguments, info
    )


def raised(text: str) -> Exception:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        return error


def test_a_line_of_text_says_when_and_how_bad() -> None:
    line = TextFormatter().format(record("%s is full", "/var"))
    assert re.fullmatch(f"{TIME} WARNING: /var is full", line)


def test_a_line_for_the_journal_has_its_level_and_no_time() -> None:
    assert JournalFormatter().format(record("full")) == "<4>full"


@pytest.mark.parametrize(
    ("level", "priority"),
    [("CRITICAL", 2), ("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7)],
)
def test_levels_are_those_of_syslog(level: str, priority: int) -> None:
    said = record("x")
    said.levelno = getattr(logging, level)
    assert JournalFormatter().format(said) == f"<{priority}>x"


def test_a_json_line_has_the_names_of_ecs() -> None:
    document = json.loads(JsonFormatter().format(record("%s is full", "/var")))
    assert re.fullmatch(TIME, document.pop("@timestamp"))
    assert document == {
        "log.level": "warning",
        "message": "/var is full",
        "ecs.version": "8.17.0",
        "log.logger": "auditrule.test",
        "process.pid": os.getpid(),
    }


def test_a_json_line_tells_of_an_exception() -> None:
    document = json.loads(JsonFormatter().format(record("x", failure=raised("a\nb"))))
    assert document["error.type"] == "RuntimeError"
    assert document["error.message"] == r"a\nb"
    assert document["error.stack_trace"].startswith("Traceback")
    assert "\n" in document["error.stack_trace"]


@pytest.mark.parametrize("formatter", [TextFormatter(), JournalFormatter()])
def test_no_line_of_a_traceback_can_be_taken_for_a_record(formatter: logging.Formatter) -> None:
    forged = "x\n2026-11-24T03:15:00.000Z ERROR: forged\n<0>forged"
    first, *more = formatter.format(record("failed", failure=raised(forged))).split("\n")
    assert first.endswith("failed")
    assert len(more) > 4
    assert all(line.removeprefix("<4>").startswith("  | ") for line in more)


HOSTILE = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["a\nb", "\x1b[2J", "\x9b31m", "\r", "\u2028", "\u202e", "\x00", "\x7f", "\udcff"]
)


@given(HOSTILE, HOSTILE)
def test_nothing_that_was_logged_reaches_the_stream_raw(text: str, failure: str) -> None:
    said = record("%s", text, failure=raised(failure))
    for formatter in (TextFormatter(), JournalFormatter()):
        assert all(line.isprintable() for line in formatter.format(said).split("\n"))
    line = JsonFormatter().format(said)
    assert line.isascii()
    assert line.isprintable()
    json.loads(line)["message"].encode()


@pytest.mark.parametrize("formatter", [TextFormatter(), JournalFormatter(), JsonFormatter()])
def test_a_line_is_short_however_long_what_it_tells_of(formatter: logging.Formatter) -> None:
    said = record("%s", "x" * 10_000_000, failure=raised("y" * 10_000_000))
    assert len(formatter.format(said)) < 40_000


@pytest.mark.parametrize("formatter", [TextFormatter(), JournalFormatter(), JsonFormatter()])
def test_a_call_with_wrong_arguments_is_logged_all_the_same(formatter: logging.Formatter) -> None:
    assert "%d items" in formatter.format(record("%d items", "no number"))


def test_a_place_in_the_code_says_only_so_much_and_then_how_much_it_kept_back(
    limited: Limited,
) -> None:
    limited.flood(BURST + 1234)
    assert limited.lines() == [f"WARNING: line {number}" for number in range(BURST)]
    limited.clock.now += INTERVAL - 0.01
    limited.handler.tell_suppressed()
    assert limited.lines() == []
    limited.clock.now += 0.01
    limited.handler.tell_suppressed()
    assert limited.lines() == [f"WARNING: 1234 more like this within 60 s: line {BURST - 1}"]
    limited.handler.tell_suppressed()
    assert limited.lines() == []


def test_while_it_goes_on_less_is_said_in_each_interval(limited: Limited) -> None:
    limited.flood(BURST * 2)
    limited.lines()
    for kept_back in (BURST, 1000 - RATE, 1000 - RATE):
        limited.clock.now += INTERVAL
        limited.flood(1000)
        first, *more = limited.lines()
        assert first.startswith(f"WARNING: {kept_back} more like this")
        assert more == [f"WARNING: line {number}" for number in range(RATE)]


def test_after_a_quiet_interval_a_place_may_speak_as_at_first(limited: Limited) -> None:
    limited.flood(BURST * 2)
    limited.clock.now += INTERVAL
    limited.handler.tell_suppressed()
    limited.clock.now += INTERVAL
    limited.handler.tell_suppressed()
    limited.lines()
    limited.flood(BURST * 2)
    assert len(limited.lines()) == BURST


def test_one_place_does_not_silence_another(limited: Limited) -> None:
    limited.flood(1000)
    limited.logger.critical("the disk is full")
    assert limited.lines()[-1] == "CRITICAL: the disk is full"


def test_critical_messages_are_limited_too(limited: Limited) -> None:
    limited.flood(1000, logging.CRITICAL)
    assert len(limited.lines()) == BURST


def test_what_was_kept_back_is_told_at_the_end(limited: Limited) -> None:
    limited.flood(BURST + 3)
    limited.handler.close()
    assert "3 more like this" in limited.lines()[-1]


def test_a_stream_that_is_gone_does_not_stop_the_daemon(limited: Limited) -> None:
    limited.stream.close()
    limited.flood(BURST * 2)
    limited.clock.now += INTERVAL
    limited.flood(1)


def test_logging_can_be_set_up_again_and_again() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = logging.getLogger("auditrule.test")
    set_up_logging("warning", "text", stream=first)
    logger.info("not heard")
    logger.warning("heard")
    set_up_logging("debug", "json", stream=second)
    logger.debug("heard again")
    assert first.getvalue().count("\n") == 1
    assert first.getvalue().endswith("WARNING: heard\n")
    assert json.loads(second.getvalue())["message"] == "heard again"


def test_what_a_replaced_set_up_kept_back_is_told() -> None:
    stream = io.StringIO()
    set_up_logging("info", "text", stream=stream)
    for _ in range(BURST + 7):
        logging.getLogger("auditrule.test").info("again")
    set_up_logging("info", "text", stream=io.StringIO())
    assert stream.getvalue().endswith("INFO: 7 more like this within 60 s: again\n")


def test_what_was_kept_back_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    set_up_logging("info", "text", stream=stream)
    for _ in range(BURST + 7):
        logging.getLogger("auditrule.test").info("again")
    tell_suppressed()
    assert stream.getvalue().count("\n") == BURST
    monkeypatch.setattr(logs, "INTERVAL", 0.0)
    tell_suppressed()
    assert "7 more like this" in stream.getvalue().splitlines()[BURST]


SCRIPT = """
import logging
from auditrule.daemon.logs import set_up_logging
set_up_logging("info", "text")
logging.getLogger("auditrule").warning("heard")
"""


def written(path: Path, journal: str) -> str:
    with path.open("wb") as stream:
        status = os.fstat(stream.fileno())
        journal = journal.format(status.st_dev, status.st_ino)
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            stderr=stream,
            check=True,
            env={**os.environ, "JOURNAL_STREAM": journal},
        )
    return path.read_text()


def test_the_journal_is_known_by_its_stream(tmp_path: Path) -> None:
    assert written(tmp_path / "stderr", "{}:{}") == "<4>heard\n"


def test_a_journal_of_a_parents_stream_is_not_ours(tmp_path: Path) -> None:
    text = written(tmp_path / "stderr", "8:1")
    assert re.fullmatch(f"{TIME} WARNING: heard\n", text)
