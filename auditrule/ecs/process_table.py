"""The processes that the log, and on a live host /proc, has introduced: whose child is whose.

An audit record names a parent by its pid only. The table remembers what each pid ran, through
execs, forks that are audited, and exits, so that an exec's parent can be described. It errs on
the side of not knowing: a pid may have had several owners, and a wrong parent would let an
exclusion hide an attack.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from auditrule.ecs.process import Owner, ProcessEntry
from auditrule.ecs.process_state import entries_from_state, entries_to_state
from auditrule.ecs.recorded import RecordedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A parent is read from a child's record after its own exit began only if the two ran at once;
# clocks of the records are those of the calls' entries, in steps of a tick (1 to 10 ms).
EXIT_GRACE_MS = 100
# /proc tells when a process started in ticks of 10 ms, and the boot time by the second is what it
# is counted from.
_PROC_SLACK_MS = 1_500
# The start of a process is told in ticks, cut off.
_PROC_TICK_MS = 20
_REAPERS = frozenset({"systemd", "init", "containerd-shim-runc-v2", "conmon", "tini", "dumb-init"})


class Logged(NamedTuple):
    """What is known to be logged of a host."""

    forks: bool
    exits: bool


NOTHING_LOGGED: Final = Logged(forks=False, exits=False)


class LiveProcesses(Protocol):
    """What a live host can tell of its processes now."""

    def find(self, pid: int) -> ProcessEntry | None:
        """Return the process that has `pid` now, `started_ms` being when it was made."""

    def started_ms(self, pid: int) -> int | None:
        """Return when the process that has `pid` now was made, cheaply."""


class ProcessTable:
    """Processes by host and pid, the most recently used ones.

    At most `max_processes` entries and roughly `max_bytes` of images are kept at the end of each
    part of the log (`end`); the entry that was used longest ago goes first (`evictions` counts
    them). A host is told by its name, None being
    the one whose log this is: with `live`, its processes are asked of it where the log does not
    tell.
    """

    def __init__(
        self,
        *,
        max_processes: int = 65_536,
        max_bytes: int = 16 << 20,
        live: LiveProcesses | None = None,
    ) -> None:
        if max_processes < 1 or max_bytes < 1:
            raise ValueError("the limits of the process table must be positive")
        self._max_processes = max_processes
        self._max_bytes = max_bytes
        self._live = live
        self._entries: OrderedDict[tuple[str | None, int], ProcessEntry] = OrderedDict()
        self._size = 0
        self._filled_ms: int | None = None
        self.before_asking: Callable[[str | None, int], None] = lambda _host, _pid: None
        """Called with a process before what is known of it is looked up."""
        # Of each host, whether forks, and whether ends, are known to be logged.
        self._logged: dict[str | None, Logged] = {}
        self.evictions = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def known(self, host: str | None) -> list[int]:
        """Return the processes of a host of which there are entries."""
        return [pid for name, pid in self._entries if name == host]

    def knows(self, host: str | None, pid: int) -> bool:
        """Tell whether there is an entry of a process."""
        return (host, pid) in self._entries

    def fill(self, processes: Iterable[ProcessEntry], *, now_ms: int) -> None:
        """Take the `processes` that run at `now_ms`, as a live daemon does at its start."""
        for entry in processes:
            self._put(None, entry)
        self._filled_ms = now_ms

    def forget(self, host: str | None) -> None:
        """Drop all processes of `host`, which has booted."""
        for key in [key for key in self._entries if key[0] == host]:
            self._size -= self._entries.pop(key).size

    @property
    def is_live(self) -> bool:
        """Whether a live host is asked, too."""
        return self._live is not None

    def drop_host(self, host: str | None) -> None:
        """Keep nothing of `host`."""
        self.forget(host)
        self._logged.pop(host, None)

    def logged(self, host: str | None) -> Logged:
        """Tell whether forks, and whether ends, are known to be logged."""
        return self._logged.get(host, NOTHING_LOGGED)

    def set_logged(self, host: str | None, logged: Logged) -> None:
        """Take note of what is known to be logged before the next thing that the table is told."""
        self._logged[host] = logged

    def exec(self, host: str | None, entry: ProcessEntry) -> None:
        """Take the start of a program: the pid's image from now on."""
        self._put(host, entry)

    def fork(
        self,
        host: str | None,
        *,
        parent: ProcessEntry,
        child: int,
        may_be_thread: bool,
        exe: str | None = None,
    ) -> None:
        """Take a fork: `child` shares the image of its parent from the call's time on.

        `parent` describes the caller as the fork's own record does (its `started_ms` and `serial`
        are the fork's), and introduces it where the table does not know it better. It does not if
        it knows it by another file than `exe`, the caller's: then an exec of it was lost, and what
        it ran before would be a wrong parent. The record is written when the call returns, so the
        child may have executed a program, or ended, before: that was at or after the call's time,
        and stays. Anything older is a previous owner of the pid. If that one has not ended, though
        ends are logged, then either it was killed, or `child` is a number inside a container's pid
        namespace and names somebody else here: the two are rivals, and the pid is nobody's until a
        record of its own tells its parent.
        """
        logged = self.logged(host)
        if not logged.forks:
            self.set_logged(host, logged._replace(forks=True))
        self._settle(host, parent)
        at = parent.started_ms
        caller = self._alive(host, parent.pid, at)
        if caller is None or caller.image is None or not caller.image.is_of(exe):
            caller = parent
            self._put(host, parent)
        caller.threads = caller.threads or may_be_thread
        exited_ms, rival = None, None
        known = self._entries.get((host, child))
        if known is not None:
            if known.started_ms >= at:
                return
            if known.exited_ms is None:
                doubtful = logged.exits and not known.maybe_thread
                rival = replace(known, rival=None) if doubtful else None
            elif known.exited_ms >= at:
                exited_ms = known.exited_ms
        self._put(
            host,
            ProcessEntry(
                child,
                caller.image,
                parent.owner,
                at,
                parent.serial,
                ppid=parent.pid,
                exited_ms=exited_ms,
                maybe_thread=may_be_thread,
                rival=rival,
            ),
        )

    def _settle(self, host: str | None, said: ProcessEntry) -> None:
        """Decide between rivals by what a record says of the pid's parent."""
        entry = self._entries.get((host, said.pid))
        if entry is None or entry.rival is None or said.ppid is None:
            return
        self._put(host, replace(entry, rival=None) if entry.ppid == said.ppid else entry.rival)

    def thread_made(self, host: str | None, pid: int) -> None:
        """Take note that `pid` has more than one thread."""
        entry = self._entries.get((host, pid))
        if entry is not None:
            entry.threads = True

    def exit(self, host: str | None, pid: int, at_ms: int, *, thread_only: bool) -> None:
        """Take the end of a process, at `at_ms`.

        The end of one thread (`thread_only`) is the process's only if it never made another,
        which is known where forks are logged.
        """
        entry = self._entries.get((host, pid))
        if entry is not None and _ended_before(entry, at_ms):
            # This is of another, the record of whose start is still to come.
            entry = None
        if thread_only:
            if entry is None or entry.threads or not self.logged(host).forks:
                return
        else:
            self.set_logged(host, self.logged(host)._replace(exits=True))
        if entry is None:
            # The fork's record may still come, and must not bring a dead process to life.
            entry = ProcessEntry(pid, None, Owner(), 0, 0)
            self._put(host, entry)
        if entry.started_ms <= at_ms:
            entry.exited_ms = at_ms

    def parent(self, host: str | None, pid: int, at_ms: int) -> ProcessEntry | None:
        """Return the process that had `pid` at `at_ms` and was a parent then.

        None where no owner is known, where the known one had ended, or began later.
        """
        self.before_asking(host, pid)
        entry = self._alive(host, pid, at_ms)
        if self._live is not None and host is None:
            entry = self._ask(self._live, pid, at_ms, entry)
        return entry

    def _alive(self, host: str | None, pid: int, at_ms: int) -> ProcessEntry | None:
        entry = self._entries.get((host, pid))
        if entry is None or entry.rival is not None or not 0 < entry.started_ms <= at_ms:
            return None
        if _ended_before(entry, at_ms):
            return None
        return entry

    def _ask(
        self,
        live: LiveProcesses,
        pid: int,
        at_ms: int,
        entry: ProcessEntry | None,
    ) -> ProcessEntry | None:
        made = live.started_ms(pid)
        if made is None or made > at_ms + _PROC_SLACK_MS:
            return entry
        if (
            entry is not None
            and entry.image is not None
            and made <= entry.started_ms + _PROC_SLACK_MS
        ):
            return entry
        # Made after what the table knows of this pid: another process, whose fork was not logged.
        found = live.find(pid)
        if found is None:
            return None
        if found.ppid is not None:
            self.before_asking(None, found.ppid)
        found = self._as_it_was(found)
        self._put(None, found)
        return found

    def _as_it_was(self, found: ProcessEntry) -> ProcessEntry:
        """Return `found`, a process that no record introduced, as it was when it was a parent.

        It was made while we looked, and every exec is logged: it had executed nothing then, but
        has perhaps since. So it ran what its own parent ran when it was made, if that is still the
        one that made it. If not, only the kernel's word for its file is taken: its name and
        arguments are its own to write, and it could pose as somebody whom a rule excludes.
        """
        if self._filled_ms is not None and found.started_ms < self._filled_ms:
            return found
        maker = None
        bare = None if found.image is None else found.image.told().bare()
        if found.ppid is not None:
            maker = self._alive(None, found.ppid, found.started_ms + _PROC_TICK_MS)
        if maker is None or maker.image is None or _adopts(maker):
            return replace(found, image=bare)
        return replace(found, image=maker.image)

    def forget_chances(self) -> None:
        """Take notice that the rules are others."""
        for entry in self._entries.values():
            if isinstance(entry.image, RecordedImage):
                entry.image.chances = None

    def snapshot(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        entries, images = entries_to_state(self._entries.values())
        return {
            "hosts": [host for host, _ in self._entries],
            "entries": entries,
            "images": images,
            "filled": self._filled_ms,
            "forks": [host for host, logged in self._logged.items() if logged.forks],
            "exits": [host for host, logged in self._logged.items() if logged.exits],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError, TypeError or IndexError if none."""
        entries = entries_from_state(state["entries"], state["images"])
        self._entries.clear()
        self._size = 0
        for host, entry in zip(state["hosts"], entries, strict=True):
            self._put(host, entry)
        self._filled_ms = state["filled"]
        forks, exits = set(state["forks"]), set(state["exits"])
        self._logged = {host: Logged(host in forks, host in exits) for host in forks | exits}

    def _put(self, host: str | None, entry: ProcessEntry) -> None:
        key = (host, entry.pid)
        old = self._entries.pop(key, None)
        if old is not None:
            self._size -= old.size
        self._entries[key] = entry
        self._size += entry.size

    def end(self, host: str | None, used: Iterable[int], ended: Iterable[int]) -> None:
        """Take the end of a part of the log, and give up what is too much.

        The processes `used` were mentioned in it, the last last; those that have `ended` are of no
        further use.
        """
        for pid in ended:
            gone = self._entries.pop((host, pid), None)
            if gone is not None:
                self._size -= gone.size
        for pid in used:
            if (host, pid) in self._entries:
                self._entries.move_to_end((host, pid))
        self.shrink()

    def shrink(self) -> None:
        """Give up the entries that were used longest ago, over the limits."""
        while len(self._entries) > self._max_processes or (
            self._size > self._max_bytes and len(self._entries) > 1
        ):
            _, gone = self._entries.popitem(last=False)
            self._size -= gone.size
            self.evictions += 1


def _ended_before(entry: ProcessEntry, at_ms: int) -> bool:
    """Tell whether a process had ended for so long that nothing at `at_ms` can be of it."""
    return entry.exited_ms is not None and entry.exited_ms + EXIT_GRACE_MS < at_ms


def _adopts(entry: ProcessEntry) -> bool:
    """Tell whether a process is one of those that the children of ended processes are given to."""
    return entry.pid == 1 or (entry.image is not None and entry.image.told().name in _REAPERS)
