"""Whose child is whose, in whatever order the records come."""

import pytest

from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.process_table import ProcessTable

HOST = None


def entry(pid: int, name: str | None, at: int, serial: int = 1) -> ProcessEntry:
    path = f"/bin/{name}"
    image = None if name is None else Image(executable=path, name=name, exe=path)
    return ProcessEntry(pid, image, Owner(user_id=0), at, serial)


def parent_name(table: ProcessTable, pid: int, at: int) -> str | None:
    found = table.parent(HOST, pid, at)
    return None if found is None or found.image is None else found.image.told().name


def forked(table: ProcessTable, parent: int, child: int, at: int, **more: object) -> None:
    caller = entry(parent, more.pop("exe", None), at)  # type: ignore[arg-type]
    table.fork(HOST, parent=caller, child=child, may_be_thread=bool(more.get("may_be_thread")))


def test_a_process_that_the_log_never_introduced_is_not_known() -> None:
    assert ProcessTable().parent(HOST, 5, 1000) is None


def test_an_exec_is_known_from_its_time_on() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    assert parent_name(table, 5, 1000) == "sh"
    assert table.parent(HOST, 5, 999) is None


def test_a_later_exec_of_the_pid_replaces_the_image() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exec(HOST, entry(5, "perl", 2000))
    assert parent_name(table, 5, 3000) == "perl"


def test_a_forked_child_has_its_parents_image() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "postinst", 1000))
    forked(table, 5, 6, 1100)
    forked(table, 6, 7, 1200)
    assert parent_name(table, 7, 1300) == "postinst"


def test_a_forks_record_introduces_a_parent_that_the_log_did_not() -> None:
    table = ProcessTable()
    forked(table, 5, 6, 1000, exe="dash")
    assert parent_name(table, 5, 1100) == "dash"
    assert parent_name(table, 6, 1100) == "dash"


def test_what_the_table_knows_is_better_than_the_forks_record() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "postinst", 1000))
    forked(table, 5, 6, 1100, exe="dash")
    assert parent_name(table, 6, 1200) == "postinst"


@pytest.mark.parametrize(
    ("exe", "name"),
    [("/bin/sh", "sh"), ("/bin/sh (deleted)", "sh"), (None, "sh"), ("/tmp/evil", None)],
)
def test_a_fork_by_another_program_shows_that_an_exec_was_lost(
    exe: str | None, name: str | None
) -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1_000))
    table.fork(HOST, parent=entry(5, None, 2_000), child=6, may_be_thread=False, exe=exe)
    assert parent_name(table, 6, 3_000) == name
    assert parent_name(table, 5, 3_000) == name


def test_a_child_that_has_executed_before_the_forks_record_keeps_its_image() -> None:
    # vfork: the parent's record is written when the child has left its memory.
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exec(HOST, entry(6, "chmod", 1100))
    forked(table, 5, 6, 1100)
    assert parent_name(table, 6, 1200) == "chmod"


def test_an_older_owner_of_the_pid_is_replaced_by_a_fork() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(6, "dpkg-script", 500))
    table.exec(HOST, entry(5, "evil", 1000))
    forked(table, 5, 6, 1100)
    assert parent_name(table, 6, 1200) == "evil"


def test_a_fork_of_an_unknown_parent_leaves_the_older_owner_unknown_too() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(6, "dpkg-script", 500))
    forked(table, 5, 6, 1100)
    found = table.parent(HOST, 6, 1200)
    assert found is not None
    assert found.image is None


def test_an_ended_process_is_nobodys_parent() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 5, 2000, thread_only=False)
    assert parent_name(table, 5, 1500) == "sh"
    assert table.parent(HOST, 5, 60_000) is None


def test_a_child_that_ran_while_its_parent_ended_still_knows_it() -> None:
    # The kernel gives children to another parent after the exit is logged, in the same tick.
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 5, 2000, thread_only=False)
    assert parent_name(table, 5, 2004) == "sh"


def test_a_child_that_ended_before_the_forks_record_is_not_brought_to_life() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 6, 1150, thread_only=False)
    forked(table, 5, 6, 1100)
    assert parent_name(table, 6, 1150) == "sh"
    assert table.parent(HOST, 6, 5000) is None


def test_an_end_that_is_older_than_the_present_owner_is_not_its_own() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 5, 900, thread_only=False)
    assert parent_name(table, 5, 5000) == "sh"


def test_the_mere_end_of_an_unknown_process_is_no_parent() -> None:
    table = ProcessTable()
    table.exit(HOST, 5, 1000, thread_only=False)
    assert table.parent(HOST, 5, 1000) is None


def test_the_end_of_a_thread_is_the_end_of_a_process_that_made_none() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(4, "init", 100))
    forked(table, 4, 5, 900)
    table.exec(HOST, entry(5, "tiny", 1000))
    table.exit(HOST, 5, 1100, thread_only=True)
    assert table.parent(HOST, 5, 5000) is None


@pytest.mark.parametrize("how", ["clone", "clone3"])
def test_the_end_of_one_of_several_threads_is_no_end_of_the_process(how: str) -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "java", 1000))
    if how == "clone":
        table.thread_made(HOST, 5)
        forked(table, 5, 77, 1050)
    else:
        forked(table, 5, 6, 1050, may_be_thread=True)
    table.exit(HOST, 5, 1100, thread_only=True)
    assert parent_name(table, 5, 5000) == "java"


def test_where_forks_are_not_logged_the_end_of_a_thread_says_nothing() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "java", 1000))
    table.exit(HOST, 5, 1100, thread_only=True)
    assert parent_name(table, 5, 5000) == "java"


def table_with_rivals() -> ProcessTable:
    """Return a table in which cron (parent 1) and a child of 900 both claim pid 6."""
    table = ProcessTable()
    table.exec(HOST, entry(6, "cron", 500))
    table.exec(HOST, entry(900, "contained", 600))
    table.exit(HOST, 800, 700, thread_only=False)
    forked(table, 900, 6, 1100)
    return table


def test_a_fork_onto_a_process_that_lives_leaves_the_pid_to_neither() -> None:
    # A container's number for its child names somebody else here, or the owner was killed.
    assert table_with_rivals().parent(HOST, 6, 1200) is None


@pytest.mark.parametrize(("ppid", "owner"), [(900, "contained"), (1, "cron")])
def test_a_record_that_tells_the_parent_decides_between_rivals(ppid: int, owner: str) -> None:
    table = table_with_rivals()
    said = ProcessEntry(6, None, Owner(), 1200, 9, ppid)
    table.fork(HOST, parent=said, child=7, may_be_thread=False)
    assert parent_name(table, 6, 1300) == owner
    assert parent_name(table, 7, 1300) == owner


def test_an_exec_ends_the_rivalry() -> None:
    table = table_with_rivals()
    table.exec(HOST, entry(6, "perl", 1200))
    assert parent_name(table, 6, 1300) == "perl"


def test_the_number_of_a_thread_may_be_had_by_a_process_later() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "java", 500))
    table.exit(HOST, 800, 700, thread_only=False)
    forked(table, 5, 6, 800, may_be_thread=True)
    table.exec(HOST, entry(7, "sh", 900))
    forked(table, 7, 6, 1100)
    assert parent_name(table, 6, 1200) == "sh"


def test_hosts_do_not_share_processes() -> None:
    table = ProcessTable()
    table.exec("a", entry(5, "sh", 1000))
    assert table.parent("b", 5, 2000) is None
    assert table.parent("a", 5, 2000) is not None


def test_the_number_of_processes_is_bounded_and_the_longest_unused_goes() -> None:
    table = ProcessTable(max_processes=2)
    table.exec(HOST, entry(1, "a", 1))
    table.exec(HOST, entry(2, "b", 2))
    table.exec(HOST, entry(3, "c", 3))
    assert len(table) == 3
    # The log mentions them in this order.
    table.end(HOST, used=[2, 1, 3], ended=[])
    assert [parent_name(table, pid, 10) for pid in (1, 2, 3)] == ["a", None, "c"]
    assert (len(table), table.evictions) == (2, 1)


def test_the_bytes_of_images_are_bounded() -> None:
    table = ProcessTable(max_bytes=100_000)
    for pid in range(1, 50):
        image = Image(executable="/bin/x", args=("y" * 20_000,))
        table.exec(HOST, ProcessEntry(pid, image, Owner(), pid, pid))
        table.end(HOST, used=[pid], ended=[])
    assert 1 <= len(table) <= 4
    assert table.parent(HOST, 49, 100) is not None


def test_what_has_ended_and_is_not_mentioned_any_more_is_dropped() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exec("other", entry(5, "perl", 1000))
    table.end(HOST, used=[5], ended=[5])
    assert table.parent(HOST, 5, 1000) is None
    assert table.parent("other", 5, 1000) is not None


def test_replacing_an_image_gives_its_bytes_back() -> None:
    table = ProcessTable(max_bytes=100_000)
    table.exec(HOST, entry(7, "keep", 1))
    for at in range(1, 50):
        image = Image(executable="/bin/x", args=("y" * 20_000,))
        table.exec(HOST, ProcessEntry(5, image, Owner(), at, at))
        table.end(HOST, used=[7, 5], ended=[])
    assert (len(table), table.evictions) == (2, 0)


@pytest.mark.parametrize("limits", [{"max_processes": 0}, {"max_bytes": 0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        ProcessTable(**limits)  # type: ignore[arg-type]


class Host:
    """A live host with the given processes."""

    def __init__(self, *entries: ProcessEntry) -> None:
        self.entries = {each.pid: each for each in entries}
        self.found: list[int] = []

    def find(self, pid: int) -> ProcessEntry | None:
        self.found.append(pid)
        return self.entries.get(pid)

    def started_ms(self, pid: int) -> int | None:
        each = self.entries.get(pid)
        return None if each is None else each.started_ms


def test_a_live_host_is_asked_for_a_parent_that_the_log_did_not_introduce() -> None:
    table = ProcessTable(live=Host(entry(5, "cron", 1_000, 0)))
    assert parent_name(table, 5, 90_000) == "cron"


def test_a_live_host_is_believed_over_an_owner_that_began_before_its_process() -> None:
    live = Host(entry(5, "evil", 50_000, 0))
    table = ProcessTable(live=live)
    table.exec(HOST, entry(5, "dpkg-script", 1_000))
    assert parent_name(table, 5, 90_000) == "evil"


def test_what_the_log_says_of_a_living_process_stands() -> None:
    live = Host(entry(5, "forked", 1_000, 0))
    table = ProcessTable(live=live)
    table.exec(HOST, entry(5, "sh", 5_000))
    assert parent_name(table, 5, 90_000) == "sh"
    assert live.found == []


def test_a_process_made_after_the_event_was_not_its_parent() -> None:
    table = ProcessTable(live=Host(entry(5, "late", 80_000, 0)))
    assert table.parent(HOST, 5, 10_000) is None


def test_a_forgotten_image_is_asked_for() -> None:
    table = ProcessTable(live=Host(entry(6, "sh", 1_100, 0)))
    forked(table, 5, 6, 1_100)
    assert parent_name(table, 6, 9_000) == "sh"


def test_other_hosts_processes_are_never_asked_of_this_one() -> None:
    live = Host(entry(5, "cron", 1_000, 0))
    table = ProcessTable(live=live)
    assert table.parent("elsewhere", 5, 90_000) is None
    assert live.found == []


def test_a_daemon_starts_with_the_processes_that_run() -> None:
    table = ProcessTable()
    table.fill([entry(1, "init", 1), entry(5, "cron", 2)], now_ms=3)
    assert parent_name(table, 5, 10) == "cron"


def made(pid: int, name: str, at: int, ppid: int) -> ProcessEntry:
    return ProcessEntry(pid, Image(name=name, exe=f"/bin/{name}"), Owner(), at, 0, ppid)


def test_a_process_that_nobody_introduced_is_only_what_the_kernel_says() -> None:
    # Its name and arguments it writes itself, such as those of a maintainer script.
    posing = Image(
        executable="/var/lib/dpkg/info/a.postinst",
        name="a.postinst",
        args=("/bin/sh", "/var/lib/dpkg/info/a.postinst"),
        exe="/usr/bin/python3.11",
    )
    orphan = ProcessEntry(6, posing, Owner(), 50_000, 0, 1)
    table = ProcessTable(live=Host(orphan, made(1, "init", 1, 0)))
    table.fill([entry(1, "init", 1)], now_ms=30_000)
    found = table.parent(HOST, 6, 60_000)
    assert found is not None
    assert found.image == Image(
        executable="/usr/bin/python3.11", name="python3.11", exe="/usr/bin/python3.11"
    )


def test_a_process_whose_file_cannot_be_seen_is_not_known_by_what_it_says() -> None:
    posing = Image(executable="/var/lib/dpkg/info/a.postinst", name="a.postinst")
    table = ProcessTable(live=Host(ProcessEntry(6, posing, Owner(), 50_000, 0, 1)))
    table.fill([], now_ms=30_000)
    assert parent_name(table, 6, 60_000) is None


def test_a_subshell_that_has_executed_since_was_what_its_maker_is() -> None:
    table = ProcessTable(live=Host(made(6, "sleep", 50_000, 5), made(5, "sh", 40_000, 1)))
    table.fill([], now_ms=30_000)
    table.exec(HOST, entry(5, "job.sh", 40_000))
    assert parent_name(table, 6, 50_010) == "job.sh"
    assert parent_name(table, 6, 50_020) == "job.sh"


@pytest.mark.parametrize(
    ("ppid", "reaper"), [(1, "init"), (9, "systemd")], ids=["process 1", "a user's systemd"]
)
def test_a_process_that_was_given_to_another_parent_is_what_it_is(ppid: int, reaper: str) -> None:
    table = ProcessTable(live=Host(made(6, "worker", 50_000, ppid), made(ppid, reaper, 1, 0)))
    table.fill([entry(ppid, reaper, 1)], now_ms=30_000)
    assert parent_name(table, 6, 60_000) == "worker"


def test_a_process_from_before_the_daemon_is_what_it_is() -> None:
    table = ProcessTable(live=Host(made(6, "worker", 20_000, 5), made(5, "sh", 10_000, 1)))
    table.fill([entry(5, "sh", 10_000)], now_ms=30_000)
    assert parent_name(table, 6, 60_000) == "worker"


def test_a_second_end_is_not_of_the_process_that_had_ended_long_before() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 5, 2000, thread_only=False)
    table.exit(HOST, 5, 5000, thread_only=False)
    assert table.parent(HOST, 5, 5050) is None


def test_the_end_of_a_thread_before_its_forks_record_is_not_of_who_had_its_number() -> None:
    table = ProcessTable()
    table.exec(HOST, entry(1, "cron", 900))
    table.exec(HOST, entry(5, "sh", 1000))
    table.exit(HOST, 5, 2000, thread_only=False)
    forked(table, 1, 9, 2100)
    table.exit(HOST, 5, 5000, thread_only=True)
    forked(table, 1, 5, 5000)
    assert parent_name(table, 5, 9000) == "cron"
