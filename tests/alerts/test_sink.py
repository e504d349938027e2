import io
import json
import os
import stat
from pathlib import Path

import pytest
from kernel_format import ExecOnKernel

from auditrule.alerts.model import Alert
from auditrule.alerts.sink import FileSink, StreamSink
from auditrule.api import replay


@pytest.fixture(scope="module")
def alert(tmp_path_factory: pytest.TempPathFactory) -> Alert:
    log = tmp_path_factory.mktemp("sink") / "audit.log"
    deed = ExecOnKernel([b"chmod", b"+x", "/etc/cron.d/\u2028é\n".encode()])
    log.write_bytes(b"\n".join(deed.lines()) + b"\n")
    (alert,) = replay(log)
    return alert


def test_alerts_are_appended_one_a_line(tmp_path: Path, alert: Alert) -> None:
    path = tmp_path / "alerts.ndjson"
    for _ in range(2):
        with FileSink(path) as sink:
            sink.write(alert)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [alert.to_dict()] * 2


def test_an_alert_can_be_read_before_the_sink_is_closed(tmp_path: Path, alert: Alert) -> None:
    path = tmp_path / "alerts.ndjson"
    with FileSink(path) as sink:
        sink.write(alert)
        assert path.read_bytes().endswith(b"}\n")


def test_a_line_that_a_crash_left_unfinished_does_not_spoil_the_next(
    tmp_path: Path, alert: Alert
) -> None:
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(b'{"cut')
    with FileSink(path) as sink:
        sink.write(alert)
    assert path.read_bytes().split(b"\n")[0] == b'{"cut'
    assert json.loads(path.read_bytes().split(b"\n")[1]) == alert.to_dict()


def test_the_file_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    old = os.umask(0)
    try:
        FileSink(path).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_sink_may_be_a_pipe(tmp_path: Path, alert: Alert) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with FileSink(path) as sink:
            sink.write(alert)
        assert json.loads(os.read(reader, 1 << 20)) == alert.to_dict()
    finally:
        os.close(reader)


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        FileSink(tmp_path)


def test_a_full_disk_is_an_os_error(alert: Alert) -> None:
    sink = FileSink(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        sink.write(alert)
    sink.close()


def test_a_stream_has_each_alert_at_once(alert: Alert) -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    StreamSink(stream).write(alert)
    assert json.loads(stream.flushed) == alert.to_dict()
