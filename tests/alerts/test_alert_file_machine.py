"""Whatever happens to an alert file in whatever order: each line is there once, and known."""

import gzip
import os
import shutil
import tempfile
from pathlib import Path

from alert_documents import Paper, numbers_in
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from auditrule.alerts.file import AlertFile
from auditrule.alerts.written import written_since

HOUR = 3600.0


class AlertFileMachine(RuleBasedStateMachine):
    """One daemon that writes, is stopped and killed, and one logrotate that moves."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "alerts.ndjson"
        self.now = 1_700_000_000.0
        self.count = 0
        self.options: dict[str, object] = {}

    @initialize(
        rotate_size=st.sampled_from([0, 1, 500, 5000]),
        rotate_age=st.sampled_from([0.0, 2.0]),
        compress=st.booleans(),
        fsync=st.sampled_from(["always", "interval", "never"]),
    )
    def begin(self, **options: object) -> None:
        self.options = options
        self.open()

    def open(self) -> None:
        self.file = AlertFile(
            self.path,
            keep=999,
            background=False,
            clock=lambda: self.now,
            **self.options,  # type: ignore[arg-type]
        )

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            self.check()
        shutil.rmtree(self.folder)

    @rule(size=st.sampled_from([0, 1, 100, 2000]), problem=st.booleans())
    def write(self, size: int, problem: bool) -> None:
        kind = "pipeline_error" if problem else "alert"
        self.file.write(Paper(self.count, size=size, kind=kind))
        self.count += 1

    @rule()
    def sync(self) -> None:
        self.file.sync()
        self.file.tend()

    @rule(hours=st.sampled_from([0.5, 1.0, 30.0]))
    def wait(self, hours: float) -> None:
        self.now += hours * HOUR

    @rule()
    def restart(self) -> None:
        self.file.close()
        self.open()

    @rule(length=st.integers(0, 150))
    def die_and_begin_anew(self, length: int) -> None:
        """Die within a write; the daemon then writes that document again, unless it is there."""
        paper = Paper(self.count)
        self.file.close()
        with self.path.open("ab") as file:
            file.write(paper.line[:length])
        last = Paper(self.count - 1).id if self.count else None
        is_there = paper.id in written_since(self.path, last).ids
        self.open()
        assert (paper.id in written_since(self.path, last).ids) == is_there
        if not is_there:
            self.file.write(paper)
        self.count += 1

    def shift(self) -> None:
        """Free the name .1, as logrotate does."""
        for number in range(len(list(self.folder.iterdir())) + 1, 0, -1):
            for suffix in ("", ".gz"):
                old = self.folder / f"{self.path.name}.{number}{suffix}"
                if old.exists():
                    old.rename(self.folder / f"{self.path.name}.{number + 1}{suffix}")

    @rule()
    def move(self) -> None:
        if self.path.exists():
            self.shift()
            self.path.rename(self.folder / f"{self.path.name}.1")

    @rule()
    def move_and_create(self) -> None:
        self.move()
        self.path.touch()

    @precondition(lambda self: self.path.exists())
    @rule()
    def copy_and_truncate(self) -> None:
        self.shift()
        shutil.copy(self.path, self.folder / f"{self.path.name}.1")
        os.truncate(self.path, 0)

    @rule()
    def compress(self) -> None:
        """Compress .2, as logrotate does with delaycompress."""
        plain = self.folder / f"{self.path.name}.2"
        packed = self.folder / f"{self.path.name}.2.gz"
        if plain.exists() and not packed.exists():
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()

    @invariant()
    def check(self) -> None:
        assert numbers_in(self.path) == list(range(self.count))
        for number in {0, self.count // 2, self.count - 2, self.count - 1}:
            if 0 <= number < self.count:
                found = written_since(self.path, Paper(number).id)
                behind = frozenset(Paper(later).id for later in range(number + 1, self.count))
                assert (found.found, found.ids) == (True, behind)
                assert (found.unreadable, found.problems) == (0, ())


AlertFileMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
TestAlertFile = AlertFileMachine.TestCase
