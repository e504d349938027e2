"""What the author of a wrong query is told, and where the caret stands."""

from __future__ import annotations

import textwrap

import pytest

from auditrule import eql

# Each case: the message, then the query with the caret line that the error must show below it.
SYNTAX = [
    (
        "expected a value after ':'",
        """
        process where process.name :
                                    ^
        """,
    ),
    (
        "expected a value after ':', found 'and'",
        """
        process where process.name : and true
                                     ^^^
        """,
    ),
    (
        "expected a value after '==', found '5x'",
        """
        any where a == 5x
                       ^^
        """,
    ),
    (
        "unknown operator '=': use == or :",
        """
        any where a = 1
                    ^
        """,
    ),
    (
        "unknown operator '!': use not, or != for not equal",
        """
        any where !a
                  ^
        """,
    ),
    (
        "expected 'where' after 'process', found 'process.name'",
        """
        process process.name == "x"
                ^^^^^^^^^^^^
        """,
    ),
    (
        "expected 'where' after 'process'",
        """
        process
               ^
        """,
    ),
    (
        "expected an event category or any, found 'where'",
        """
        where true
        ^^^^^
        """,
    ),
    (
        "an event category of more than letters, digits and _ stands in double quotes",
        """
        my-events where true
          ^
        """,
    ),
    (
        "expected a condition after 'where'",
        """
        any where
                 ^
        """,
    ),
    (
        "expected a condition after 'or'",
        """
        any where a == 1 or
                           ^
        """,
    ),
    (
        "expected a condition after 'not', found 'and'",
        """
        any where not and
                      ^^^
        """,
    ),
    (
        "expected a condition after '(', found ')'",
        """
        any where ()
                   ^
        """,
    ),
    (
        "'by' is a keyword: the field of that name is written `by`",
        """
        any where by == 1
                  ^^
        """,
    ),
    (
        "'(' is never closed",
        """
        any where (a == 1 and (b == 2)
                  ^
        """,
    ),
    (
        "')' closes nothing",
        """
        any where (a == 1))
                          ^
        """,
    ),
    (
        "keywords are in lower case: and",
        """
        any where a == 1 AND b == 2
                         ^^^
        """,
    ),
    (
        "keywords are in lower case: in~",
        """
        any where a IN~ ("x")
                    ^^^
        """,
    ),
    (
        "'not' stands before the field: not … like …",
        """
        any where a not like "x"
                    ^^^
        """,
    ),
    (
        "expected a field before 'in'",
        """
        any where "x" in ("x", "y")
                  ^^^
        """,
    ),
    (
        "expected '(' after 'in', found \"x\"",
        """
        any where a in "x"
                       ^^^
        """,
    ),
    (
        "expected a value after '(', found ')'",
        """
        any where a : ()
                       ^
        """,
    ),
    (
        "expected a value after ',', found ')'",
        """
        any where a : ("x", )
                            ^
        """,
    ),
    (
        "expected one value: a list goes with in, : or like",
        """
        any where a == ("x", "y")
                           ^
        """,
    ),
    (
        'expected \')\' after "x", found "y"',
        """
        any where a : ("x" "y")
                           ^^^
        """,
    ),
    (
        "expected an operator after 'a', found 'startsWith'",
        """
        any where a startsWith "x"
                    ^^^^^^^^^^
        """,
    ),
    (
        'expected an operator after "x"',
        """
        any where "x"
                     ^
        """,
    ),
    (
        "expected 'and', 'or' or the end after \"x\", found 'b'",
        """
        any where a == "x" b == 1
                           ^
        """,
    ),
    (
        "':' takes strings only: use == with 5",
        """
        any where a : ("x", 5)
                            ^
        """,
    ),
    (
        "'in~' takes strings only: use in with true",
        """
        any where a in~ (true)
                         ^^^^
        """,
    ),
    (
        "null is neither in a list nor like a pattern: use == null",
        """
        any where a in ("x", null)
                             ^^^^
        """,
    ),
    (
        "true has no order: use == or !=",
        """
        any where a < true
                    ^
        """,
    ),
    (
        "the number is too large",
        """
        any where a == 1e999
                       ^^^^^
        """,
    ),
    (
        "the string never ends on its line",
        """
        any where a == "x and b == 1
                       ^^^^^^^^^^^^^
        """,
    ),
    (
        "the raw string never ends on its line",
        '''
        any where a == """x"
                       ^^^
        ''',
    ),
    (
        "unknown escape \\d (a backslash is written \\\\)",
        r"""
        any where a == "x\d"
                         ^^
        """,
    ),
    (
        "\\u{d800} is no Unicode character",
        r"""
        any where a == "\u{d800}"
                       ^^^^^^^^^^
        """,
    ),
    (
        'strings stand in double quotes: "…"',
        """
        any where a == 'x'
                       ^
        """,
    ),
    (
        "the back-quoted name is empty or never ends",
        """
        any where `a == 1
                  ^
        """,
    ),
    (
        "the comment never ends",
        """
        any where a /* == 1
                    ^^
        """,
    ),
    (
        "unexpected character '&'",
        """
        any where a == 1 && b == 2
                         ^
        """,
    ),
]

UNSUPPORTED = [
    (
        "a sequence is not supported",
        """
        sequence by host.id [process where true] [file where true]
        ^^^^^^^^
        """,
    ),
    (
        "a sample is not supported",
        """
        sample by host.id [process where true] [file where true]
        ^^^^^^
        """,
    ),
    (
        "a pipe is not supported",
        """
        process where true | head 5
                           ^
        """,
    ),
    (
        "the function startsWith~ is not supported",
        """
        process where a == 1 and startsWith~(b, "x")
                                 ^^^^^^^^^^^
        """,
    ),
    (
        "the function length is not supported",
        """
        process where 5 < length(a)
                          ^^^^^^
        """,
    ),
    (
        "regex~ is not supported",
        """
        process where a regex~ "x.*"
                        ^^^^^^
        """,
    ),
    (
        "arithmetic (+) is not supported",
        """
        process where a + 1 == 2
                        ^
        """,
    ),
    (
        "arithmetic (/) is not supported",
        """
        process where 4 / a == 2
                        ^
        """,
    ),
    (
        "arithmetic (-) is not supported",
        """
        process where -a == 2
                      ^
        """,
    ),
    (
        "comparing what stands in parentheses is not supported",
        """
        process where (a == 1) == true
                               ^^
        """,
    ),
    (
        "comparing two fields is not supported (nor is it in Elasticsearch)",
        """
        process where a == b.c
                           ^^^
        """,
    ),
    (
        "an index into an array is not supported",
        """
        process where a[0] == 1
                       ^
        """,
    ),
    (
        "child of is not supported",
        """
        process where child of [process where true]
                      ^^^^^
        """,
    ),
]


def shown(case: str) -> tuple[str, str, str]:
    """Return the case's query, its line and its caret line, as the error must show them."""
    query, caret = textwrap.dedent(case).strip("\n").split("\n")
    return query, query, caret.rstrip()


@pytest.mark.parametrize(("message", "case"), SYNTAX, ids=[message for message, _ in SYNTAX])
def test_a_syntax_error_says_what_is_wrong_and_shows_where(message: str, case: str) -> None:
    query, line, caret = shown(case)
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile(query)
    column = caret.index("^") + 1
    assert str(caught.value) == f"line 1, column {column}: {message}\n  {line}\n  {caret}"


@pytest.mark.parametrize(
    ("message", "case"), UNSUPPORTED, ids=[message for message, _ in UNSUPPORTED]
)
def test_an_unsupported_construct_is_named_and_shown(message: str, case: str) -> None:
    query, line, caret = shown(case)
    with pytest.raises(eql.EqlUnsupportedError) as caught:
        eql.compile(query)
    column = caret.index("^") + 1
    assert str(caught.value) == f"line 1, column {column}: {message}\n  {line}\n  {caret}"


def test_an_error_knows_its_line_and_column_and_the_whole_text() -> None:
    text = 'process where\n\t// first\n\ta == "x" and\r\n\tb = 2'
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile(text)
    error = caught.value
    assert (error.line, error.column, error.text) == (4, 4, text)
    assert str(error).endswith("\n  \tb = 2\n  \t  ^")


def test_an_empty_query_is_said_to_be_empty() -> None:
    for text in ("", " \n", "// nothing\n"):
        with pytest.raises(eql.EqlSyntaxError, match="the query is empty"):
            eql.compile(text)


def test_the_caret_stands_under_wide_characters_too() -> None:
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile('any where a == "日本" b')
    source, caret = str(caught.value).split("\n")[1:]
    assert source == '  any where a == "日本" b'
    assert caret == "  " + " " * 22 + "^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile("any where " + "a == 1 or " * 1000 + "b = 1" + " or a == 1" * 1000)
    source, caret = str(caught.value).split("\n")[1:]
    assert len(source) < 200
    assert source[caret.index("^")] == "="
    assert source.startswith("  …")
    assert source.endswith("…")


@pytest.mark.parametrize(
    "nested",
    [
        "(" * 5000 + "a == 1" + ")" * 5000,
        "not " * 5000 + "a == 1",
        "not (" * 5000 + "a == 1" + ")" * 5000,
        "(" * 5000,
        "(a == 1 or " * 5000 + "a == 1" + ")" * 5000,
    ],
)
def test_conditions_nested_beyond_the_limit_are_refused_and_do_not_overflow(nested: str) -> None:
    with pytest.raises(eql.EqlUnsupportedError, match="nested more than 32 deep"):
        eql.compile(f"any where {nested}")


@pytest.mark.parametrize(
    "nested",
    [
        "(" * 32 + "a == 1" + ")" * 32,
        "not " * 32 + "a == 1",
        "(b == 2 and not " * 16 + "a == 1" + ")" * 16 + ' or b : ("x")',
        "(a == 1) and " * 1000 + "a == 1",
        "not a == 1 or " * 1000 + "a == 1",
    ],
)
def test_conditions_nested_up_to_the_limit_or_in_a_row_are_run(nested: str) -> None:
    query = eql.compile(f"any where {nested}")
    assert query.matches({"a": 1, "b": 2})
    assert eql.compile(str(query)).tree == query.tree
