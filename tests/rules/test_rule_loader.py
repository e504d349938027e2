import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditrule.rules import RuleError, RuleSet, SkippedFile, load_rules

FIXTURES = Path(__file__).parents[2] / "fixtures/rules"
VALID = FIXTURES / "valid"
BROKEN = FIXTURES / "broken"
KEYS = VALID / "authorized_keys_written.toml"

TACTIC = "rule.threat[0].tactic"
TECHNIQUE = "rule.threat[0].technique"
# The file, and for each of its errors: the field, the beginning of the reason, line, column.
DEFECTS: dict[str, list[tuple[str, str, int | None, int | None]]] = {
    "date_not_in_calendar": [
        ("metadata.updated_date", "is not a day of the calendar", None, None),
    ],
    "date_with_dashes": [
        ("metadata.creation_date", 'must be a date written as "YYYY/MM/DD"', None, None),
    ],
    "description_missing": [("rule.description", "is required", None, None)],
    "empty": [("", "has no [rule] table", None, None)],
    "enabled_no_boolean": [("rule.enabled", "must be true or false, not a string", None, None)],
    "eql_syntax": [("rule.query", "is not EQL: line 1, column ", 9, None)],
    "eql_syntax_in_third_line": [("rule.query", "is not EQL: line 3, column ", 13, None)],
    "language_missing": [("rule.language", 'must be "eql" where rule.type is', None, None)],
    "language_of_another_type": [
        ("rule.language", 'must be "eql" where rule.type is "eql", and only there', None, None),
    ],
    "latin_1": [("", "is not UTF-8: the byte 0xf6 cannot stand here", 3, 11)],
    "metadata_without_rule": [("", "has no [rule] table", None, None)],
    "name_empty": [("rule.name", "must not be empty", None, None)],
    "name_of_two_lines": [("rule.name", "must be one line of printable text", None, None)],
    "query_empty": [("rule.query", "must not be empty", None, None)],
    "query_is_number": [("rule.query", "must be a string, not an integer", None, None)],
    "query_missing": [("rule.query", "is required in an EQL rule", None, None)],
    "references_no_array": [("rule.references", "must be an array, not a string", None, None)],
    "risk_score_negative": [("rule.risk_score", "must be 0 or more, not -1", None, None)],
    "risk_score_quoted": [("rule.risk_score", "must be an integer, not a string", None, None)],
    "risk_score_too_high": [("rule.risk_score", "must be 100 or less, not 101", None, None)],
    "rule_id_missing": [("rule.rule_id", "is required", None, None)],
    "rule_is_no_table": [("rule", "must be a table, not an integer", None, None)],
    "several_defects": [
        ("rule.name", "is required", None, None),
        ("rule.description", "is required", None, None),
        ("rule.severity", "must be one of low, medium, high, critical, not 'urgent'", None, None),
        ("rule.risk_score", "must be an integer, not a float", None, None),
    ],
    "severity_unknown": [
        ("rule.severity", "must be one of low, medium, high, critical, not 'urgent'", None, None),
    ],
    "subtechnique_under_another": [(TECHNIQUE, "has T1037.004 under T1053", None, None)],
    "tactic_id_malformed": [
        (TACTIC, "has the id 'T0003', which is not like TA0003", None, None),
    ],
    "tags_with_number": [("rule.tags[1]", "must be a string, not an integer", None, None)],
    "technique_id_malformed": [
        (TECHNIQUE, "has the id 'T1037.004', which is not like T1053", None, None),
    ],
    "threat_without_tactic": [(TACTIC, "is required", None, None)],
    "toml_key_twice": [("", "is not TOML: ", 6, None)],
    "toml_syntax": [("", "is not TOML: ", 5, None)],
    "toml_unfinished": [("", "is not TOML: ", 9, None)],
    "version_zero": [("rule.version", "must be 1 or more, not 0", None, None)],
}


def write_rule(path: Path, rule_id: str, query: str = "process where true") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'[rule]\nrule_id = "{rule_id}"\nname = "Rule {rule_id}"\ndescription = "A rule."\n'
        f'severity = "low"\nrisk_score = 1\ntype = "eql"\nlanguage = "eql"\nquery = \'{query}\'\n'
    )
    return path


def ids(loaded: RuleSet) -> list[str]:
    return [rule.id for rule in loaded.rules]


def test_every_broken_fixture_has_its_defect_described() -> None:
    assert {path.stem for path in BROKEN.glob("*.toml")} == DEFECTS.keys()


@pytest.mark.parametrize("name", sorted(DEFECTS))
def test_a_broken_file_is_refused_with_field_and_reason(name: str) -> None:
    path = BROKEN / f"{name}.toml"
    loaded = load_rules([path])
    assert not loaded.rules
    assert not loaded.ok
    assert [error.field for error in loaded.errors] == [field for field, *_ in DEFECTS[name]]
    for error, (_, reason, line, column) in zip(loaded.errors, DEFECTS[name], strict=True):
        assert error.path == path
        assert error.reason.startswith(reason)
        assert error.line == line
        assert column is None or error.column == column


def test_an_error_in_a_query_shows_the_query_with_a_caret() -> None:
    [error] = load_rules([BROKEN / "eql_syntax.toml"]).errors
    *_, shown, caret = error.reason.splitlines()
    assert "process where name ==" in shown
    assert caret.strip().startswith("^")


def test_the_place_of_an_error_in_a_query_is_a_place_in_the_file() -> None:
    path = BROKEN / "eql_syntax_in_third_line.toml"
    [error] = load_rules([path]).errors
    assert error.line is not None
    assert error.column is not None
    assert path.read_text().splitlines()[error.line - 1].startswith("  process.args")
    assert str(error).startswith(f"{path}:{error.line}:{error.column}: rule.query is not EQL")


def test_the_column_counts_from_the_start_of_the_files_line(tmp_path: Path) -> None:
    path = write_rule(tmp_path / "a.toml", "a", query="process where name @ 1")
    [error] = load_rules([path]).errors
    assert error.line == 9
    assert error.column is not None
    assert path.read_text().splitlines()[8][error.column - 1] == "@"


def test_a_query_with_escapes_has_no_place_in_the_file(tmp_path: Path) -> None:
    path = write_rule(tmp_path / "a.toml", "a")
    path.write_text(path.read_text().replace("'process", '"\\u0070rocess').replace("true'", '=="'))
    [error] = load_rules([path]).errors
    assert (error.field, error.line, error.column) == ("rule.query", None, None)


def test_an_error_is_one_line_of_file_place_field_and_reason() -> None:
    assert str(RuleError(Path("a.toml"), "", "is bad")) == "a.toml: is bad"
    assert str(RuleError(Path("a.toml"), "rule.x", "is bad")) == "a.toml: rule.x is bad"
    assert str(RuleError(Path("a.toml"), "", "is bad", 3, 7)) == "a.toml:3:7: is bad"


def test_broken_files_do_not_keep_the_others_of_the_tree_from_loading() -> None:
    loaded = load_rules([FIXTURES])
    assert sorted(rule.path.name for rule in loaded.rules) == sorted(
        path.name for folder in (VALID, FIXTURES / "constructs") for path in folder.rglob("*.toml")
    )
    assert {error.path.stem for error in loaded.errors} == DEFECTS.keys() - {"empty"}
    assert [skipped.path.name for skipped in loaded.skipped] == ["empty.toml"]
    assert {(rule.path.stem, rule.language) for rule in loaded.not_eql} == {
        ("esql", "esql"),
        ("kuery", "kuery"),
        ("machine_learning", "machine_learning"),
        ("threshold", "kuery"),
    }
    assert {rule.path.stem for rule in loaded.unsupported} == {"pipe", "filters"}
    assert [rule.path.stem for rule in loaded.disabled] == ["disabled"]


def test_the_valid_fixtures_load_without_a_word() -> None:
    loaded = load_rules([VALID])
    assert loaded.ok
    assert len(loaded.rules) == 4
    assert list(loaded.notices()) == []


def test_rules_come_in_the_order_of_the_paths_given_and_of_the_names_in_a_tree(
    tmp_path: Path,
) -> None:
    for name in ("b/2.toml", "b/10.toml", "b/a/z.toml", "c.toml"):
        write_rule(tmp_path / name, name)
    assert ids(load_rules([tmp_path])) == ["b/10.toml", "b/2.toml", "b/a/z.toml", "c.toml"]
    assert ids(load_rules([tmp_path / "c.toml", tmp_path / "b"]))[0] == "c.toml"


def test_two_files_with_the_same_id_are_an_error_that_names_both(tmp_path: Path) -> None:
    first = write_rule(tmp_path / "a.toml", "same")
    second = write_rule(tmp_path / "b.toml", "same")
    write_rule(tmp_path / "c.toml", "other")
    loaded = load_rules([tmp_path])
    assert ids(loaded) == ["same", "other"]
    [error] = loaded.errors
    assert (error.path, error.field) == (second, "rule.rule_id")
    assert str(first) in error.reason


def test_a_file_that_is_met_twice_is_read_once(tmp_path: Path) -> None:
    rule = write_rule(tmp_path / "rules/a.toml", "a")
    (tmp_path / "rules/b.toml").symlink_to(rule)
    (tmp_path / "rules/again").symlink_to(tmp_path / "rules")
    loaded = load_rules([rule, tmp_path / "rules", rule])
    assert ids(loaded) == ["a"]
    assert loaded.ok


def test_a_link_to_a_folder_outside_the_tree_is_followed(tmp_path: Path) -> None:
    write_rule(tmp_path / "elsewhere/a.toml", "a")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/link").symlink_to(tmp_path / "elsewhere")
    assert ids(load_rules([tmp_path / "rules"])) == ["a"]


def test_hidden_files_and_folders_of_a_tree_are_passed_over_and_named(tmp_path: Path) -> None:
    write_rule(tmp_path / ".hidden.toml", "hidden")
    write_rule(tmp_path / ".git/a.toml", "in git")
    write_rule(tmp_path / "a.toml", "a")
    loaded = load_rules([tmp_path])
    assert ids(loaded) == ["a"]
    assert loaded.skipped == (
        SkippedFile(tmp_path / ".git", "a hidden folder"),
        SkippedFile(tmp_path / ".hidden.toml", "a hidden file"),
    )
    assert ids(load_rules([tmp_path / ".hidden.toml", tmp_path / ".git"])) == ["hidden", "in git"]


def test_toml_that_is_no_rule_is_passed_over_in_a_tree_and_refused_by_name(
    tmp_path: Path,
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\n')
    loaded = load_rules([tmp_path])
    assert loaded.ok
    assert loaded.skipped == (SkippedFile(project, "TOML without a [rule] table"),)
    assert load_rules([project]).errors == (RuleError(project, "", "has no [rule] table"),)


def test_metadata_without_a_rule_is_refused_in_a_tree_too(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[metadata]\nmaturity = "production"\n\n[rules]\nname = "x"\n')
    assert load_rules([tmp_path]).errors == (RuleError(path, "", "has no [rule] table"),)


def test_files_of_other_names_are_read_only_when_named(tmp_path: Path) -> None:
    path = write_rule(tmp_path / "a.toml.bak", "a")
    assert load_rules([tmp_path]) == RuleSet()
    assert ids(load_rules([path])) == ["a"]


def test_a_tree_without_a_rule_is_no_error(tmp_path: Path) -> None:
    assert load_rules([tmp_path]) == RuleSet()
    assert load_rules([]) == RuleSet()


def test_a_path_that_is_not_there_is_an_error_and_the_others_load(tmp_path: Path) -> None:
    missing = tmp_path / "no.toml"
    loaded = load_rules([missing, KEYS])
    assert loaded.errors == (RuleError(missing, "", "cannot be read: No such file or directory"),)
    assert len(loaded.rules) == 1


def test_a_link_to_nothing_is_an_error_in_a_tree_if_it_would_be_a_rule(tmp_path: Path) -> None:
    (tmp_path / "a.toml").symlink_to(tmp_path / "gone")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone")
    [error] = load_rules([tmp_path]).errors
    assert error.path == tmp_path / "a.toml"


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder that everyone may enter, for files that the test makes unreadable.

    Root may read everything, so the test gives up root's rights for its while.
    """
    load_rules([KEYS])  # whatever is imported late is imported while it can be read
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        os.seteuid(os.getuid())


def give_up_root() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_an_unreadable_file_is_an_error_and_the_others_load(folder_of_another: Path) -> None:
    path = write_rule(folder_of_another / "a.toml", "a")
    write_rule(folder_of_another / "b.toml", "b")
    path.chmod(0)
    give_up_root()
    loaded = load_rules([folder_of_another])
    assert loaded.errors == (RuleError(path, "", "cannot be read: Permission denied"),)
    assert ids(loaded) == ["b"]


def test_an_unreadable_folder_is_an_error_and_the_others_load(folder_of_another: Path) -> None:
    closed = folder_of_another / "closed"
    write_rule(closed / "a.toml", "a")
    write_rule(folder_of_another / "open/b.toml", "b")
    closed.chmod(0)
    give_up_root()
    loaded = load_rules([folder_of_another])
    closed_error = RuleError(closed, "", "cannot be read: Permission denied")
    assert loaded.errors == (closed_error,)
    assert ids(loaded) == ["b"]
    assert load_rules([closed]).errors == (closed_error,)


def test_a_folder_that_may_be_listed_and_not_entered_is_an_error(folder_of_another: Path) -> None:
    listed = folder_of_another / "listed"
    path = write_rule(listed / "a.toml", "a")
    write_rule(listed / "sub/b.toml", "b")
    listed.chmod(0o444)
    give_up_root()
    loaded = load_rules([folder_of_another])
    assert [error.path for error in loaded.errors] == [path, listed / "sub"]
    assert all(error.reason == "cannot be read: Permission denied" for error in loaded.errors)


def test_a_pipe_in_a_tree_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    assert load_rules([tmp_path]).skipped == (
        SkippedFile(tmp_path / "a.toml", "not a regular file"),
    )


def test_a_rule_may_come_through_a_pipe_that_is_named() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, KEYS.read_bytes())
        os.close(writing)
        assert len(load_rules([Path(f"/dev/fd/{reading}")]).rules) == 1
    finally:
        os.close(reading)


def test_a_byte_order_mark_and_crlf_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf" + KEYS.read_bytes().replace(b"\n", b"\r\n"))
    loaded = load_rules([path])
    assert loaded.ok
    assert loaded.rules[0].query_text == load_rules([KEYS]).rules[0].query_text


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "9" * 10_000], ids=["deep", "long"])
def test_toml_beyond_pythons_limits_is_an_error(tmp_path: Path, value: str) -> None:
    path = write_rule(tmp_path / "a.toml", "a")
    path.write_text(path.read_text() + f"extra = {value}\n")
    [error] = load_rules([path]).errors
    assert error.reason.startswith("is ")


def test_a_query_nested_beyond_reason_is_an_error(tmp_path: Path) -> None:
    deep = "process where " + "(" * 20_000 + "true" + ")" * 20_000
    loaded = load_rules([write_rule(tmp_path / "a.toml", "a", query=deep)])
    assert not loaded.rules
    assert len(loaded.errors) + len(loaded.unsupported) == 1


def test_an_unsupported_query_is_told_from_a_broken_one() -> None:
    loaded = load_rules([FIXTURES / "unsupported"])
    assert loaded.ok
    filters, pipe = loaded.unsupported
    assert filters.name == "With Filters"
    assert "rule.filters" in filters.reason
    assert pipe.id == "74ad22d8-5833-4a4a-902b-7731a04f5249"
    assert "pipe" in pipe.reason


def test_counts_and_notices_tell_what_came_of_the_files(tmp_path: Path) -> None:
    for source in (KEYS, FIXTURES / "other/kuery.toml", FIXTURES / "other/disabled.toml"):
        shutil.copy(source, tmp_path)
    shutil.copy(FIXTURES / "unsupported/filters.toml", tmp_path)
    shutil.copy(BROKEN / "several_defects.toml", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    loaded = load_rules([tmp_path])
    assert str(loaded.counts) == (
        "1 rules, 4 errors, 1 unsupported, 1 not EQL, 1 disabled, 1 skipped"
    )
    notices = list(loaded.notices())
    assert len(notices) == 8
    assert notices[0].startswith(f"{tmp_path}/several_defects.toml: rule.name is required")
    assert notices[-1] == f"{tmp_path}/pyproject.toml: passed over: TOML without a [rule] table"


def test_counts_name_only_what_there_is() -> None:
    assert str(load_rules([VALID]).counts) == "4 rules"
    assert str(load_rules([]).counts) == "0 rules"


def test_elastics_own_rules_load_without_an_error(elastic_linux_rules: Path) -> None:
    files = list(elastic_linux_rules.rglob("*.toml"))
    loaded = load_rules([elastic_linux_rules])
    assert files
    assert loaded.errors == ()
    assert loaded.skipped == ()
    counts = loaded.counts
    assert counts.rules + counts.unsupported + counts.not_eql + counts.disabled == len(files)
