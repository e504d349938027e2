from auditrule.audit.boot import BootWatch
from auditrule.audit.event import AuditEvent
from auditrule.audit.record import Record


def boots(*story: tuple[str, int]) -> list[int]:
    """Return the places in the story at which the host was found to have booted."""
    watch = BootWatch()
    found = []
    for place, (kind, serial) in enumerate(story):
        record = Record.parse(f"type={kind} msg=audit({1000 + place}.000:{serial}): ".encode())
        if watch.is_boot(AuditEvent(record.event_id, (record,), whole=True)):
            found.append(place)
    return found


def test_serials_that_go_on_are_no_boot() -> None:
    assert boots(("SYSCALL", 1), ("SYSCALL", 3), ("SYSCALL", 2), ("SYSCALL", 90_000)) == []


def test_serials_that_begin_anew_are_a_boot() -> None:
    assert boots(("SYSCALL", 500_000), ("SYSCALL", 1), ("SYSCALL", 2)) == [1]


def test_behind_the_start_of_auditd_any_lower_serial_is_a_boot() -> None:
    assert boots(("SYSCALL", 50), ("DAEMON_START", 7), ("SYSCALL", 49), ("SYSCALL", 48)) == [2]


def test_the_restart_of_auditd_alone_is_no_boot() -> None:
    assert boots(("SYSCALL", 50), ("DAEMON_START", 7), ("SYSCALL", 51), ("SYSCALL", 40)) == []


def test_the_init_systems_record_is_a_boot_where_serials_have_begun_anew() -> None:
    assert boots(("SYSCALL", 50_000), ("SYSTEM_BOOT", 9), ("SYSCALL", 10)) == [1]
    assert boots(("SYSCALL", 500_000), ("SYSCALL", 1), ("SYSTEM_BOOT", 9), ("SYSCALL", 10)) == [1]
    second = (("SYSCALL", 500_000), ("SYSCALL", 5), ("SYSTEM_BOOT", 6))
    assert boots(*second, *second) == [1, 4]


def test_the_init_systems_record_alone_which_a_container_can_send_too_is_no_boot() -> None:
    assert boots(("SYSCALL", 5), ("SYSTEM_BOOT", 9), ("SYSCALL", 10)) == []
    assert boots(("SYSCALL", 9000), ("SYSCALL", 9002), ("SYSTEM_BOOT", 9001)) == []
