import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_format import execve_bodies

from auditrule.audit.arguments import (
    Arguments,
    _read_as_the_kernel_writes,
    _read_by_grammar,
    assemble_arguments,
)
from auditrule.audit.record import Record

# Arguments end at a NUL, so they hold none.
arguments = st.binary().map(lambda data: data.replace(b"\0", b""))


def assemble(*bodies: str) -> Arguments:
    return assemble_arguments(
        Record.parse(f"type=EXECVE msg=audit(1.000:1): {body}".encode("latin-1")) for body in bodies
    )


@given(st.lists(arguments), st.integers(100, 400))
def test_arguments_come_back_from_any_number_of_records(args: list[bytes], room: int) -> None:
    assert assemble(*execve_bodies(args, room)) == Arguments(tuple(args), len(args), False)


def test_pieces_are_joined_before_they_are_text() -> None:
    found = assemble("argc=1 a0_len=4 a0[0]=C3", " a0[1]=A9")
    assert found == Arguments(("é".encode(),), 1, False)


@pytest.mark.parametrize("written", ["(null)", "?", "abc"])
def test_a_bare_argument_is_itself(written: str) -> None:
    assert assemble(f"argc=1 a0={written}").values == (written.encode(),)


def test_old_kernels_leave_out_empty_arguments() -> None:
    found = assemble('argc=4 a0="x" a3="y"')
    assert found == Arguments((b"x", b"", b"", b"y"), 4, False)


def test_old_kernels_leave_out_an_empty_argument_at_the_beginning() -> None:
    assert assemble('argc=3 a1="x" a2="y"') == Arguments((b"", b"x", b"y"), 3, False)


def test_what_the_kernel_writes_is_not_left_to_the_grammar() -> None:
    for body in execve_bodies([b"chmod", b"", b'"', b"x" * 5000, b"\xff" * 9000, b"=", b"a1=b"]):
        assert _read_as_the_kernel_writes(f" {body}") is not None
        assert _read_as_the_kernel_writes(f" {body}\x1dX=y") is not None


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "argc=2",
                    "argc=",
                    "argc",
                    " ",
                    "  ",
                    "\t",
                    "\x1d",
                    "\r",
                    "\0",
                    "x",
                    "a",
                    "=",
                    '"',
                ),
                *(
                    'a0="x"',
                    "a1=2F",
                    'a1_len="5"',
                    "a1_len=5",
                    'a1[0]="x y"',
                    "a1[1]=6G",
                    "a1[",
                    "'",
                ),
                *(
                    "msg='a0=5'",
                    "{",
                    "}",
                    "a3={x y}",
                    "a4=x{y",
                    'a5=x"y',
                    'a6="',
                    "a7=",
                    "a08=é",
                    "\xa0",
                ),
                *("a999999999=7", "a9999999999=7", "a1[9999999999]=7", "type=EXECVE", "²", "a²=5"),
            ]
        )
    ).map("".join)
    | st.text(st.characters(max_codepoint=255), max_size=30)
)
def test_what_is_read_without_the_grammar_is_what_the_grammar_says(body: str) -> None:
    fast = _read_as_the_kernel_writes(body)
    assert fast is None or fast == _read_by_grammar(body)


@pytest.mark.parametrize(
    ("bodies", "values"),
    [
        (['argc=3 a0="x" a1="y"'], (b"x", b"y")),
        (['a1="y" a2="z"'], (b"y", b"z")),
        (['a1="y" a3="z"'], (b"y", b"", b"z")),
        (['argc=4 a0="x"', 'a2="y" a3="z"'], (b"x", b"y", b"z")),
        (['argc=1 a0_len=8 a0[0]="abcd"'], (b"abcd",)),
        (["argc=1 a0_len=8 a0[0]=2F2F", " a0[2]=2F2F"], (b"////",)),
        (["argc=1 a0_len=8"], (b"",)),
        (['argc=1 a0="x" a1="y"'], (b"x", b"y")),
        ([], ()),
        (['argc=999999999 a0="x" a999999998="y"'], (b"x", b"y")),
    ],
)
def test_missing_arguments_are_told_and_what_came_is_kept(
    bodies: list[str], values: tuple[bytes, ...]
) -> None:
    found = assemble(*bodies)
    assert found.truncated
    assert found.values == values


@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\n"))))
def test_no_execve_record_breaks_the_assembly(bodies: list[str]) -> None:
    assemble(*bodies)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["=", "_len=", "[0]=", "[1]=", "[7]="]),
            st.sampled_from(['"x"', "2F", "5", "(null)", "", "99999999999999999999"]),
        )
    )
)
def test_no_arrangement_of_argument_fields_breaks_the_assembly(
    fields: list[tuple[int, str, str]],
) -> None:
    assemble("argc=3 " + " ".join(f"a{index}{kind}{value}" for index, kind, value in fields))
