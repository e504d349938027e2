"""The bundled rule against an oracle: the rule's meaning in plain Python, without any EQL.

The oracle was written from what the rule says, not from how the engine says it: no wildcards, no
parser, only ``startswith`` and ``in``.
"""

import string
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from auditrule.rules import Detector, Rule, load_rules

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "config/rules/executable_bit_set_for_potential_persistence_script.toml"

# ------------------------------------------------------------------------------- the oracle

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_FILES = {"/etc/rc.local", "/etc/rc.common", "/etc/rc.d/rc.local"}
_FOLDERS = (
    "/etc/init.d/",
    "/etc/update-motd.d/",
    "/etc/apt/apt.conf.d/",
    "/etc/cron",
    "/etc/init/",
    "/etc/xdg/autostart/",
    "/root/.config/autostart/",
    "/root/.local/share/autostart/",
    "/root/.config/autostart-scripts/",
    "/usr/share/autostart/",
    "/lib/udev/",
    "/etc/udev/rules.d/",
    "/usr/lib/udev/rules.d/",
    "/run/udev/rules.d/",
)
_FOLDERS_OF_A_USER = (
    "/.config/autostart/",
    "/.local/share/autostart/",
    "/.config/autostart-scripts/",
)


def _is_watched(argument: str) -> bool:
    path = argument.translate(_LOWER)
    if path in _FILES or path.startswith(_FOLDERS):
        return True
    below_home = path[len("/home/") :]
    return path.startswith("/home/") and any(each in below_home for each in _FOLDERS_OF_A_USER)


def _values(document: Mapping[str, object], name: str) -> list[object]:
    """The values of a field of a nested document, absent or one or many, as a list."""
    value: object = document
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def oracle(document: Mapping[str, object]) -> bool:
    """Whether the rule, as its author means it, matches the document."""
    arguments = [str(each) for each in _values(document, "process.args")]
    lowered = [each.translate(_LOWER) for each in arguments]
    gives_execute = any(each.startswith(("1", "3", "5", "7")) for each in lowered)
    match _values(document, "process.name"):
        case ["chmod"]:
            sets_the_bit = gives_execute or any(each.startswith("+x") for each in lowered)
        case ["install"]:
            sets_the_bit = gives_execute and any(each.startswith("-m") for each in lowered)
        case _:
            sets_the_bit = False
    by_dpkg = any(
        str(each).translate(_LOWER).startswith("/var/lib/dpkg/")
        for each in _values(document, "process.parent.executable")
    )
    return (
        "process" in _values(document, "event.category")
        and "linux" in _values(document, "host.os.type")
        and "start" in _values(document, "event.type")
        and any(each in ("exec", "exec_event") for each in _values(document, "event.action"))
        and any(map(_is_watched, arguments))
        and sets_the_bit
        and not by_dpkg
    )


# -------------------------------------------------------------------------- the documents


def _any_case(text: str) -> st.SearchStrategy[str]:
    """The text itself, mostly, or in upper case, or with each letter in a case of its own."""
    mixed = st.lists(st.booleans(), min_size=len(text), max_size=len(text)).map(
        lambda ups: "".join(c.upper() if up else c for c, up in zip(text, ups, strict=True))
    )
    return st.one_of(st.just(text), st.just(text), st.just(text.upper()), mixed)


_MODES = st.sampled_from(
    "+x +X +xr +x,g-w u+x a+x ug+x -x =x +rx + x +"
    " 755 0755 1755 7 1 3 5 0 2 4 644 0644 4755 2755 600 700 a755"
    " -m -m755 -m0755 -mx -M -M755 --mode=755 --mode -Dm m".split()
).flatmap(_any_case)
_WATCHED = [
    *sorted(_FILES),
    *_FOLDERS,
    *(f"/home/{user}{each}" for user in ("alice", "", "a/b") for each in _FOLDERS_OF_A_USER),
]
_LOOKALIKES = [
    "/etc/crontab",
    "/etc/cron",
    "/etc/cro",
    "/etc/cron.d/x",
    "/etc/rc.localx",
    "/etc/rc.local/",
    "/etc/rc.loca",
    "/etc/rc.d/rc.locals",
    "/etc/rc.commons",
    "/etc/rcXlocal",
    "/etc/init",
    "/etc/init.d",
    "/etc/initXd/x",
    "/etc/init.d.bak/x",
    "/etc/inittab",
    "/mnt/etc/init.d/x",
    "etc/init.d/x",
    "./init.d/x",
    " /etc/init.d/x",
    "/etc//init.d/x",
    "/home/.config/autostart/x",
    "/home//.config/autostart/x",
    "/home/alice/.config/autostart",
    "/home/alice/.config/autostart-x/y",
    "/home/alice/.local/autostart/x",
    "/homes/alice/.config/autostart/x",
    "/root/x/.config/autostart/x",
    "/root/.config/autostart",
    "/usr/share/autostarts/x",
    "/lib/udevx",
    "/usr/lib/udev/x",
    "/run/udev/rules.d",
    "/home/alice/x.sh",
]
_PATHS = st.builds(
    lambda start, end: start + end,
    st.sampled_from(_WATCHED + _LOOKALIKES).flatmap(_any_case),
    st.sampled_from(["", "", "x", "x.sh", "/x", "a b", "*", "?", "\n", "\u00e9", "\ufffdff"]),
)
_ARGUMENTS = st.lists(
    st.one_of(_MODES, _PATHS, st.sampled_from(["-R", "--", "", "\u0661755", "/tmp/x"])), max_size=6
)
_NAMES = st.sampled_from(
    ["chmod"] * 12 + ["install"] * 8 + "CHMOD Chmod INSTALL busybox chmodx chmo ginstall".split()
)
_PARENTS = st.one_of(
    st.just("/usr/bin/bash"),
    st.sampled_from(
        [
            "/var/lib/dpkg/info/cron.postinst",
            "/var/lib/dpkg/",
            "/var/lib/dpkg",
            "/var/lib/dpkgs/x",
            "/var/lib/dpkg.d/x",
            "/mnt/var/lib/dpkg/x",
            "/tmp/dpkg/info/x",
        ]
    ).flatmap(_any_case),
)


_UNUSUAL_EVENTS: list[tuple[str, object]] = [
    *(("category", each) for each in ("process", ["file"], ["file", "process"], ["Process"], None)),
    *(("type", each) for each in ("start", ["end"], ["info", "start"], ["START"], [])),
    *(("action", each) for each in ("exec_event", "Exec", "execve", ["exec"], "fork", None)),
]
_PROBABLE_HITS = st.tuples(
    st.sampled_from(["+x", "755", "1755", "-m"]), st.sampled_from(_WATCHED).map("{}x".format)
).map(list)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Nested documents of an exec, near to what the rule wants in every respect."""
    name = draw(_NAMES)
    arguments = draw(_ARGUMENTS) + draw(st.one_of(_PROBABLE_HITS, _PROBABLE_HITS, st.just([])))
    process: dict[str, object] = {"name": name, "args": [name, *draw(st.permutations(arguments))]}
    match draw(st.sampled_from(["executable", "null", "no executable", "no parent"])):
        case "executable":
            process["parent"] = {"executable": draw(_PARENTS), "pid": 1}
        case "null":
            nothing: list[object] = [None, {"executable": None}, {"executable": []}]
            process["parent"] = draw(st.sampled_from(nothing))
        case "no executable":
            process["parent"] = {"pid": 1}
    if draw(st.integers(0, 19)) == 0:
        del process[draw(st.sampled_from(["name", "args"]))]
    exec_event: dict[str, object] = {"category": ["process"], "type": ["start"], "action": "exec"}
    if draw(st.integers(0, 3)) == 0:
        exec_event |= dict(draw(st.lists(st.sampled_from(_UNUSUAL_EVENTS), max_size=2)))
    system = draw(st.sampled_from(["linux"] * 20 + ["Linux", "windows", None]))
    return {"event": exec_event, "host": {"os": {"type": system}}, "process": process}


def _dotted(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= _dotted(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _only_rule(path: Path) -> Rule:
    loaded = load_rules([path])
    assert not loaded.errors
    [rule] = loaded.rules
    return rule


@pytest.fixture(scope="module")
def bundled() -> Detector:
    return Detector([_only_rule(BUNDLED)])


def exec_of(*args: str, parent: str | None = None) -> dict[str, object]:
    process: dict[str, object] = {"name": args[0], "args": list(args)}
    if parent is not None:
        process["parent"] = {"executable": parent}
    return {
        "event": {"category": ["process"], "type": ["start"], "action": "exec"},
        "host": {"os": {"type": "linux"}},
        "process": process,
    }


# ------------------------------------------------------------------------------- the tests


@settings(max_examples=2000, deadline=None)
@given(document=documents())
def test_the_bundled_rule_agrees_with_the_oracle(
    bundled: Detector, document: dict[str, object]
) -> None:
    wanted = oracle(document)
    event("match" if wanted else "no match")
    assert bool(bundled.detect(document)) is wanted
    assert bool(bundled.detect(_dotted(document))) is wanted


@settings(max_examples=1000, deadline=None)
@given(path=_PATHS, mode=_MODES, parent=_PARENTS, name=st.sampled_from(["chmod", "install"]))
def test_the_bundled_rule_agrees_with_the_oracle_on_one_path_and_one_mode(
    bundled: Detector, path: str, mode: str, parent: str, name: str
) -> None:
    document = exec_of(name, "-m", mode, path, parent=parent)
    event("match" if oracle(document) else "no match")
    assert bool(bundled.detect(document)) is oracle(document)


@pytest.fixture(scope="module")
def seed(elastic_seed_rule: Path) -> Detector:
    return Detector([_only_rule(elastic_seed_rule)])


@settings(max_examples=3000, deadline=None)
@given(document=documents())
def test_the_bundled_rule_matches_what_elastics_file_matches(
    bundled: Detector, seed: Detector, document: dict[str, object]
) -> None:
    assert bool(bundled.detect(document)) is bool(seed.detect(document))


@settings(max_examples=1000, deadline=None)
@given(path=_PATHS, mode=_MODES, parent=_PARENTS, name=st.sampled_from(["chmod", "install"]))
def test_the_bundled_rule_matches_what_elastics_file_matches_on_one_path_and_one_mode(
    bundled: Detector, seed: Detector, path: str, mode: str, parent: str, name: str
) -> None:
    document = exec_of(name, "-m", mode, path, parent=parent)
    assert bool(bundled.detect(document)) is bool(seed.detect(document))


def test_the_bundled_rule_says_of_itself_what_elastics_file_says(seed: Detector) -> None:
    ours, theirs = _only_rule(BUNDLED), seed.rules[0]
    for said in ("id", "name", "severity", "risk_score", "threat", "references"):
        assert getattr(ours, said) == getattr(theirs, said)
    assert set(ours.query.fields) == set(theirs.query.fields)


# One line for each pattern: what it must match, and what is next to it and must not.
PATTERNS = [
    ("/etc/rc.local", "/etc/rc.locale"),
    ("/etc/rc.common", "/etc/rc.commons"),
    ("/etc/rc.d/rc.local", "/etc/rc.d/rc.local.bak"),
    ("/etc/init.d/evil", "/etc/init.d"),
    ("/etc/init.d/", "/etc/init-d/evil"),
    ("/etc/update-motd.d/99-evil", "/etc/update-motd/99-evil"),
    ("/etc/apt/apt.conf.d/99-evil", "/etc/apt/apt.conf"),
    ("/etc/cron", "/etc/cro"),
    ("/etc/crontab", "/var/spool/cron/crontabs/root"),
    ("/etc/cron.hourly/a/b", "etc/cron.hourly/a"),
    ("/etc/init/evil.conf", "/etc/inittab"),
    ("/etc/xdg/autostart/evil.desktop", "/etc/xdg/autostart"),
    ("/home/alice/.config/autostart/evil.desktop", "/home/.config/autostart/evil.desktop"),
    ("/home/a/b/.config/autostart/x", "/srv/home/alice/.config/autostart/x"),
    ("/root/.config/autostart/evil.desktop", "/root/a/.config/autostart/evil.desktop"),
    ("/home/alice/.local/share/autostart/x", "/home/alice/.local/share/autostarts/x"),
    ("/root/.local/share/autostart/x", "/root/.local/share/x"),
    ("/home/alice/.config/autostart-scripts/x", "/home/alice/.config/autostart-script/x"),
    ("/root/.config/autostart-scripts/x", "/root/.config/autostart-scripts"),
    ("/usr/share/autostart/x", "/usr/local/share/autostart/x"),
    ("/lib/udev/x", "/lib/udev"),
    ("/etc/udev/rules.d/x", "/etc/udev/x"),
    ("/usr/lib/udev/rules.d/x", "/usr/lib/udev/x"),
    ("/run/udev/rules.d/x", "/run/udev/x"),
    ("/ETC/Init.D/evil", "/ETC/Init.D"),
]
MATCHING = [
    *(["chmod", "+x", hit] for hit, _ in PATTERNS),
    *(["install", "-m", "755", "evil", hit] for hit, _ in PATTERNS),
    ["chmod", "+xr", "/etc/rc.local"],
    ["chmod", "+X", "/etc/rc.local"],
    ["chmod", "1755", "/etc/rc.local"],
    ["chmod", "3755", "/etc/rc.local"],
    ["chmod", "555", "/etc/rc.local"],
    ["chmod", "7", "/etc/rc.local"],
    ["chmod", "-R", "755", "/etc/rc.local"],
    ["chmod", "/etc/rc.local", "+x"],
    ["chmod", "644", "/etc/rc.local", "1.sh"],
    ["install", "-m", "1755", "evil", "/etc/rc.local"],
    ["install", "-m", "3755", "evil", "/etc/rc.local"],
    ["install", "-m", "555", "evil", "/etc/rc.local"],
    ["install", "-m644", "7.sh", "/etc/rc.local"],
    ["install", "-M", "755", "evil", "/etc/rc.local"],
]
NOT_MATCHING = [
    *(["chmod", "+x", miss] for _, miss in PATTERNS),
    *(["install", "-m", "755", "evil", miss] for _, miss in PATTERNS),
    ["chmod", "u+x", "/etc/rc.local"],
    ["chmod", "a+x", "/etc/rc.local"],
    ["chmod", "0755", "/etc/rc.local"],
    ["chmod", "2755", "/etc/rc.local"],
    ["chmod", "4755", "/etc/rc.local"],
    ["chmod", "644", "/etc/rc.local"],
    ["chmod", "-x", "/etc/rc.local"],
    ["chmod", "/etc/rc.local"],
    ["chmod", "+x"],
    ["chmod"],
    ["chmod", "", "/etc/rc.local"],
    ["install", "-m755", "evil", "/etc/rc.local"],
    ["install", "-m", "0755", "evil", "/etc/rc.local"],
    ["install", "--mode=755", "evil", "/etc/rc.local"],
    ["install", "755", "/etc/rc.local"],
    ["install", "-m", "+x", "evil", "/etc/rc.local"],
    ["install", "evil", "/etc/rc.local"],
    ["CHMOD", "+x", "/etc/rc.local"],
    ["Install", "-m", "755", "/etc/rc.local"],
    ["busybox", "chmod", "+x", "/etc/rc.local"],
    ["touch", "+x", "755", "-m", "/etc/rc.local"],
]


@pytest.mark.parametrize("args", MATCHING, ids=" ".join)
def test_a_command_that_the_rule_is_about_matches(bundled: Detector, args: list[str]) -> None:
    assert bundled.detect(exec_of(*args))
    assert oracle(exec_of(*args))


@pytest.mark.parametrize("args", NOT_MATCHING, ids=" ".join)
def test_a_command_beside_the_rule_does_not_match(bundled: Detector, args: list[str]) -> None:
    assert not bundled.detect(exec_of(*args))
    assert not oracle(exec_of(*args))


@pytest.mark.parametrize(
    ("parent", "matches"),
    [
        (None, True),
        ("/usr/bin/dash", True),
        ("/var/lib/dpkg", True),
        ("/var/lib/dpkgs/x", True),
        ("/opt/var/lib/dpkg/info/x.postinst", True),
        ("/var/lib/dpkg/", False),
        ("/var/lib/dpkg/info/cron.postinst", False),
        ("/VAR/lib/Dpkg/info/cron.postinst", False),
    ],
)
def test_only_a_parent_below_dpkgs_folder_keeps_the_rule_quiet(
    bundled: Detector, parent: str | None, matches: bool
) -> None:
    document = exec_of("chmod", "755", "/etc/init.d/cron", parent=parent)
    assert bool(bundled.detect(document)) is matches
    assert oracle(document) is matches


def test_a_parent_that_is_null_is_not_dpkg(bundled: Detector) -> None:
    parents: list[object] = [None, {"executable": None}, {"executable": []}, {}]
    for parent in parents:
        document = exec_of("chmod", "755", "/etc/init.d/cron")
        assert isinstance(document["process"], dict)
        document["process"]["parent"] = parent
        assert bundled.detect(document)


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({}, True),
        ({"action": "exec_event"}, True),
        ({"type": ["info", "start"]}, True),
        ({"category": "process"}, True),
        ({"action": "fork"}, False),
        ({"action": "Exec"}, False),
        ({"action": None}, False),
        ({"type": ["end"]}, False),
        ({"type": ["Start"]}, False),
        ({"category": ["file"]}, False),
        ({"category": ["Process"]}, False),
        ({"category": None}, False),
    ],
)
def test_only_the_start_of_a_process_matches(
    bundled: Detector, fields: dict[str, object], matches: bool
) -> None:
    usual = {"category": ["process"], "type": ["start"], "action": "exec"}
    document = exec_of("chmod", "755", "/etc/init.d/cron") | {"event": usual | fields}
    assert bool(bundled.detect(document)) is matches
    assert oracle(document) is matches


@pytest.mark.parametrize("system", ["Linux", "windows", "", None])
def test_another_or_an_unknown_system_does_not_match(bundled: Detector, system: str | None) -> None:
    document = exec_of("chmod", "755", "/etc/init.d/cron") | {"host": {"os": {"type": system}}}
    assert not bundled.detect(document)


def test_the_path_and_the_mode_may_not_be_found_in_the_joined_command_line(
    bundled: Detector,
) -> None:
    document = exec_of("chmod", "644 755", "x /etc/rc.local")
    assert not bundled.detect(document)


def test_the_bundled_rule_carries_the_identity_that_its_users_know() -> None:
    rule = _only_rule(BUNDLED)
    assert rule.id == "94418745-529f-4259-8d25-a713a6feb6ae"
    assert rule.name == "Executable Bit Set for Potential Persistence Script"
    assert (rule.severity, rule.risk_score) == ("low", 21)
    assert rule.tactics == ("Persistence",)
    [threat] = rule.threat
    assert threat.tactic.id == "TA0003"
    assert [(t.id, [s.id for s in t.subtechnique]) for t in threat.technique] == [
        ("T1037", ["T1037.004"]),
        ("T1053", ["T1053.003"]),
        ("T1547", ["T1547.013"]),
    ]
    assert "OS: Linux" in rule.tags
    assert len(rule.references) == 4


def test_the_bundled_file_says_where_the_rule_comes_from() -> None:
    comment = BUNDLED.read_text().partition("[metadata]")[0]
    assert "github.com/elastic/detection-rules" in comment
    assert "Elastic License v2" in comment
