"""What the author of a wrong query is told, and where the caret stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule import eql

# Each case is a query, in which «» stand around the offending text, and what is said of it.
CONDITIONS = [
    # Something is missing.
    ("process where«»", "expected a condition after 'where'"),
    ("process where a == 1 or«»", "expected a condition after 'or'"),
    ("process where a and not«»", "expected a condition after 'not'"),
    ("process where not «and»", "expected a condition after 'not', found 'and'"),
    ("process where a or «or» b", "expected a condition after 'or', found 'or'"),
    ("process where («)»", "expected a condition after '(', found ')'"),
    ("process where «[»a == 1]", "expected a condition after 'where', found '['"),
    ("process where a ==«»", "expected a value after '=='"),
    ("process where a == «and»", "expected a value after '==', found 'and'"),
    ("process where a +«»", "expected a value after '+'"),
    ("process where a + «*» b", "expected a value after '+', found '*'"),
    ("process where a == («)»", "expected a value after '(', found ')'"),
    ("process where a :«»", "expected a value after ':'"),
    ("process where a : «and» true", "expected a value after ':', found 'and'"),
    ("process where a : («)»", "expected a value after '(', found ')'"),
    ('process where a : ("x", «)»', "expected a value after ',', found ')'"),
    ("process where length(«»", "expected a value after '('"),
    ("process where length(a,«)» > 1", "expected a value after ',', found ')'"),
    ("process where length(«,» a) > 1", "expected a value after '(', found ','"),
    # Something stands at the wrong place.
    ("process where a «b»", "expected an operator after 'a', found 'b'"),
    ("process where a «not»", "expected an operator after 'a', found 'not'"),
    ('process where a == "x" «b» == 1', "expected 'and', 'or' or the end after \"x\", found 'b'"),
    ('process where a : ("x" «"y"»)', 'expected \')\' after "x", found "y"'),
    ('process where a : ("x" «or» "y")', "expected ')' after \"x\", found 'or'"),
    ("process where (a == 1«]»", "expected ')' after '1', found ']'"),
    ("process where a == «5x»", "expected a value after '==', found '5x'"),
    # Parentheses and brackets.
    ("process where «(»a == 1 and (b == 2)", "'(' is never closed"),
    ('process where a in~ «(»"x"', "'(' is never closed"),
    ("process where length«(»a", "'(' is never closed"),
    ("process where «(»a == true", "'(' is never closed"),
    ("process where (a == 1)«)»", "')' closes nothing"),
    # Lists.
    ('process where a in «"x"»', "expected '(' after 'in', found \"x\""),
    ("process where a not in«»", "expected '(' after 'in'"),
    ("process where a in «[»1, 2]", "a list stands in parentheses: (…, …)"),
    (
        'process where a == ("x"«,» "y")',
        "expected one value: a list goes with in, :, like or regex",
    ),
    ('process where (a«,» b) == "x"', "expected one value: a list goes with in, :, like or regex"),
    # Strings.
    ("process where a == «'»x'", 'strings stand in double quotes: "…"'),
    (
        "process where a : «b»",
        "expected a value after ':', found 'b': strings stand in double quotes",
    ),
    (
        "process where a:«*»x",
        "expected a value after ':', found '*': strings stand in double quotes",
    ),
    (
        "process where a in («b»)",
        "expected a value after '(', found 'b': strings stand in double quotes",
    ),
    ('process where a == «"x and b == 1»', "the string never ends on its line"),
    ('process where a == «"""»x"', "the raw string never ends on its line"),
    ('process where a == «?"»x"', 'a raw string is written """…"""'),
    (r'process where a == "x«\d»"', r"unknown escape \d (a backslash is written \\)"),
    (r'process where a == «"\u{d800}"»', r"\u{d800} is no Unicode character"),
    # Names.
    ("process where «by» == 1", "'by' is a keyword: the field of that name is written `by`"),
    ("process where a == «any»", "'any' is a keyword: the field of that name is written `any`"),
    ("process where a«.» == 1", "a field's name neither begins nor ends with a dot"),
    ("process where a«.».b == 1", "a field's name neither begins nor ends with a dot"),
    ("process where «.»a == 1", "a field's name neither begins nor ends with a dot"),
    ("process where «`»a == 1", "the back-quoted name is empty or never ends"),
    ("process where «`»` == 1", "the back-quoted name is empty or never ends"),
    ("process where «?» a == 1", "'?' stands directly before an optional field's name"),
    # Operators as other languages have them.
    ("process where a «=» 1", "unknown operator '=': use == or :"),
    ("process where a ==«=» 1", "unknown operator '=': use == or :"),
    ("process where «!»a", "unknown operator '!': use not, or != for not equal"),
    ('process where a «!» in ("x")', "unknown operator '!': use not, or != for not equal"),
    ("process where a <«>» 1", "unknown operator '<>': use !="),
    ("process where a «&»& b", "unknown operator '&': use and"),
    ("process where a |«|» b", "unknown operator '||': use or"),
    ('process where a «~» "x"', "unknown operator '~': use :, like~ or regex~"),
    ("process where a «is» null", "unknown operator 'is': use == null or != null"),
    (
        'process where a «contains» "x"',
        "unknown operator 'contains': use : \"*…*\" or stringContains(…)",
    ),
    ('process where a «matches» "x"', "unknown operator 'matches': use : or regex"),
    ('process where a «startsWith» "x"', "startsWith is a function: startsWith(…)"),
    ("process where a «between» 1 and 2", "between is a function: between(…)"),
    ("process where a == 1 «AND» b == 2", "keywords are in lower case: and"),
    ('process where a «IN~» ("x")', "keywords are in lower case: in~"),
    ("process where a == «NULL»", "keywords are in lower case: null"),
    ("process where a == «True»", "keywords are in lower case: true"),
    ('process where a «not» like "x"', "'not' stands before the field: not … like …"),
    ('process where a «not» : "x"', "'not' stands before the field: not … : …"),
    ("process where a «not» == 1", "'not' stands before the field: not … == …"),
    ('process where «regex»(a, "x")', "expected a field before 'regex'"),
    ("process where 1 + «not» a", "'not' stands before the whole comparison, or in parentheses"),
    ("process where a == «not» b", "'not' stands before the whole comparison, or in parentheses"),
    ("process where a == 1 «==» true", "comparisons do not chain: write … and … == …"),
    ("process where 1 < a «<» 5", "comparisons do not chain: write … and … < …"),
    # Types.
    ('process where «"x"»', '"x" is no condition: compare it'),
    ("process where a and «5»", "5 is no condition: compare it"),
    ("process where «null»", "null is no condition: compare it"),
    ("process where «-»a", "-a is no condition: compare it"),
    ("process where «length»(a) or b", "length() is no condition: compare it"),
    ('process where a + «"x"» == 1', '"x" is no number'),
    ('process where a + «"""x"""» == 1', '"x" is no number'),
    ("process where -«(»a == 1) == 1", "a == 1 is no number"),
    ("process where a «<» true", "true has no order: use == or !="),
    ("process where (a == 1) «>» 2", "a == 1 has no order: use == or !="),
    ("process where null «>=» a", "null has no order: use == or !="),
    ('process where a : ("x", «5»)', "':' takes strings only: use == with 5"),
    ("process where a in~ («true»)", "'in~' takes strings only: use in with true"),
    ("process where a like «-5»", "'like' takes strings only: use == with -5"),
    (
        'process where a in ("x", «null»)',
        "null is neither in a list nor like a pattern: use == null",
    ),
    ("process where a == «1e999»", "the number is too large"),
    # Functions.
    ("process where «length»() > 1", "length takes 1 argument, not 0"),
    ("process where «LENGTH»(a, b) > 1", "length takes 1 argument, not 2"),
    ('process where «between»(a, "x") == "y"', "between takes 3 to 4 arguments, not 2"),
    ('process where «concat»() == "y"', "concat takes 1 or more arguments, not 0"),
    ('process where «concat~»(a) == "x"', "concat has no form that ignores case"),
    ('process where startsWith(«1», "x")', "startsWith takes a string here, and 1 is a number"),
    (
        'process where substring("x", «"y"») == "z"',
        'substring takes a number here, and "y" is a string',
    ),
    ("process where length(«(»a == 1)) > 1", "length takes a string here, and a == 1 is a boolean"),
    (
        'process where cidrMatch(a, «"10.0.0.0/33"»)',
        '"10.0.0.0/33" is neither an IP address nor a block of them in CIDR notation',
    ),
    # Regular expressions.
    ('process where a regex «"(x"»', "a group of the regular expression is never closed"),
    ('process where a regex ("x", «"x)"»)', "')' of the regular expression closes nothing"),
    ('process where a regex~ «"*x"»', "there is nothing before * of the regular expression"),
    # What is no text of EQL at all.
    ("process where a «/*» == 1", "the comment never ends"),
    ("process where a == «$»x", "unexpected character '$'"),
    # Comments are shown as they are.
    ("process where /* x */ a == «$»x // c", "unexpected character '$'"),
    (
        'process where /* x */ a regex «"(x"» // c',
        "a group of the regular expression is never closed",
    ),
]

STATEMENTS = [
    # The beginning.
    ("process«»", "expected 'where' after 'process'"),
    ("process «file» where true", "expected 'where' after 'process', found 'file'"),
    ("«where» true", "expected an event category or any, found 'where'"),
    ("«5» where true", "expected an event category or any, found '5'"),
    ("process«,» file where true", 'several categories are any where event.category in ("…", "…")'),
    (
        "process «or» file where true",
        'several categories are any where event.category in ("…", "…")',
    ),
    (
        'process.name «:» "x"',
        "a query begins with its event category: any where process.name : …",
    ),
    (
        "my«-»events where true",
        "an event category of more than letters, digits and _ stands in double quotes",
    ),
    ("process where true«;»", "a query ends without ';'"),
    # Sequences.
    ("sequence«»", "expected '[' after 'sequence'"),
    ("sequence by«»", "expected a field after 'by'"),
    ("sequence by a, «[»any where true]", "expected a field after ',', found '['"),
    ("sequence by length«(»a) [any where true]", "a join key is a field, not a function"),
    ('sequence by «"a"» [any where true]', "expected a field after 'by', found \"a\""),
    ("«sequence» by a [any where true]", "a sequence has two events at least"),
    ("sequence [any where«]»", "expected a condition after 'where', found ']'"),
    ("sequence [any «true»]", "expected 'where' after 'any', found 'true'"),
    ("sequence «[»any where true", "'[' is never closed"),
    ("sequence «[»any where a == 1 [any where true]", "'[' is never closed"),
    (
        "sequence [any where true] [any where true] «any» where true",
        "expected '[', '|' or the end after ']', found 'any'",
    ),
    ("sequence «!» [any where true]", "a missing event is written ![…], without a blank"),
    (
        "«sequence» ![any where true] ![any where true]",
        "a sequence has one event at least that is not missing",
    ),
    (
        "«sequence» ![any where true] [any where true]",
        "a sequence with a missing event needs a maxspan",
    ),
    (
        "sequence [any where true] by a «[»any where true]",
        "each event has as many keys: the first has 1, this 0",
    ),
    # with
    ("sequence by a «with»", "expected 'with maxspan=…' or '['"),
    ("sequence with maxspan «5m»", "expected '=' after 'maxspan', found '5m'"),
    ("sequence with maxspan=«»", "expected a time, such as 5m after '='"),
    ("sequence with maxspan=«5» [any where true]", "the maxspan lacks its unit: ms, s, m, h or d"),
    ("sequence with maxspan=«5w» [any where true]", "unknown unit w of time: ms, s, m, h or d"),
    ("sequence with maxspan=«0s» [any where true]", "the maxspan must be more than 0"),
    (
        "sequence with maxspan=«1.5h» [any where true]",
        "a maxspan is a whole number and a unit: 500ms, 30s, 5m, 2h, 1d",
    ),
    ("sequence with maxspan=5m «by» a [any where true]", "'by' stands before 'with'"),
    (
        "sequence «with» runs=2 [any where true]",
        "'with runs' stands after its event: […] with runs=…",
    ),
    (
        "sequence [any where true] with «maxspan»=5m",
        "'with maxspan' stands before the first event: … with maxspan=… […]",
    ),
    ("sequence [any where true] with runs=«x»", "expected a whole number after '=', found 'x'"),
    ("sequence [any where true] with runs=«0»", "runs is a number from 1 to 100"),
    ("sequence [any where true] with runs=«101»", "runs is a number from 1 to 100"),
    # until
    ("sequence [any where true] [any where true] until«»", "expected '[' after 'until'"),
    (
        "sequence [any where true] [any where true] until «![»any where true]",
        "until takes one event, neither missing nor repeated",
    ),
    # Samples.
    ("«sample» [any where true] [any where true]", "a sample needs a key to join its events by"),
    ("sample by a «with» maxspan=5m [any where true]", "a sample has no maxspan"),
    ("sample by a [any where true] «until» [any where true]", "a sample has no until"),
    (
        "sample by a [any where true] «![»any where true]",
        "a sample has neither missing events nor runs",
    ),
    (
        "sample by a [any where true] «[»any where true] with runs=2",
        "a sample has neither missing events nor runs",
    ),
    # What belongs to a sequence.
    ("process where a «by» b", "'by' belongs to a sequence or a sample"),
    ("process where a == 1 «with» maxspan=1m", "'with' belongs to a sequence or a sample"),
    ("process where true «until» [any where true]", "'until' belongs to a sequence or a sample"),
    # Pipes.
    ("process where true |«»", "expected a pipe after '|'"),
    ("process where true | «foo»", "there is no pipe foo: head, tail, filter or unique"),
    ("process where true | head«»", "expected a whole number after 'head'"),
    ("process where true | tail «-»1", "expected a whole number after 'tail', found '-'"),
    ("process where true | head «1.5»", "expected a whole number after 'head', found '1.5'"),
    ("process where true | head «1000000000»", "the number is too large"),
    ("process where true | head 5 «5»", "expected '|' or the end after '5', found '5'"),
    ("process where true | filter«»", "expected a condition after 'filter'"),
    ("process where true | filter «5»", "5 is no condition: compare it"),
    ("process where true | unique«»", "expected a field after 'unique'"),
    ("process where true | unique a «b»", "expected '|' or the end after 'a', found 'b'"),
    ("process where true | unique length«(»a)", "unique takes fields, not functions"),
]

UNSUPPORTED = [
    (
        "«join» by a [any where true] [any where true]",
        "a join is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where «child» of [process where true]",
        "child of is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where a«[»0] == 1",
        "an index into an array is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where a == «b.c»",
        "comparing two fields is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where length(a) > «length»(b)",
        "comparing two fields is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where true | «sort» a",
        "the pipe sort is not supported (nor is it in Elasticsearch)",
    ),
    (
        "process where true | «count»",
        "the pipe count is not supported (nor is it in Elasticsearch)",
    ),
    (
        "sample by a [any where true] [any where true] | «filter» b",
        "filter after a sequence or sample is not supported",
    ),
    ('process where «wildcard»(a, "x*")', "there is no function wildcard: use : or like"),
    ('process where «match»(a, "x.*")', "there is no function match: use regex~"),
    ('process where «matchLite»(a, "x.*")', "there is no function matchLite: use regex~"),
    (
        'process where «arrayContains»(a, "x")',
        "there is no function arrayContains: ==, in and : look at every element of an array",
    ),
    ("process where «foo~»(a)", "there is no function foo"),
    (
        'process where a regex «"x~y"»',
        r"the complement (~) of regular expressions is not supported (\~ is the character)",
    ),
    (
        'process where a regex «"x{1001}"»',
        "the regular expression is not run: invalid repetition size: {1001}",
    ),
]


def read_case(case: str) -> tuple[str, int, int]:
    """Return the query, and where in it the offending text begins and how long it is."""
    before, _, rest = case.partition("«")
    offending, _, after = rest.partition("»")
    return before + offending + after, len(before), len(offending)


def shown(case: str, message: str) -> str:
    query, start, length = read_case(case)
    caret = " " * start + "^" * max(1, length)
    return f"line 1, column {start + 1}: {message}\n  {query}\n  {caret}"


@pytest.mark.parametrize(("case", "message"), [*CONDITIONS, *STATEMENTS])
def test_a_syntax_error_says_what_is_wrong_and_shows_where(case: str, message: str) -> None:
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile(read_case(case)[0])
    assert str(caught.value) == shown(case, message)


@pytest.mark.parametrize("wrong", ["$", 'regex "(x"'])
def test_a_comment_of_several_lines_counts_as_these(wrong: str) -> None:
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile(f"process where /* of\n two */ a {wrong}")
    column = len(" two */ a ") + 1 + wrong.find('"') + ('"' not in wrong)
    assert (caught.value.line, caught.value.column) == (2, column)


@pytest.mark.parametrize(("case", "message"), UNSUPPORTED)
def test_an_unsupported_construct_is_named_and_shown(case: str, message: str) -> None:
    with pytest.raises(eql.EqlUnsupportedError) as caught:
        eql.compile(read_case(case)[0])
    assert str(caught.value) == shown(case, message)


def test_the_error_is_shown_as_text_with_a_caret_under_the_place() -> None:
    with pytest.raises(eql.EqlSyntaxError) as caught:
        eql.compile('process where process.name = "x"')
    assert str(caught.value).split("\n") == [
        "line 1, column 28: unknown operator '=': use == or :",
        '  process where process.name = "x"',
        "                             ^",
    ]


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


WORDS = r"""
any process where and or not a a.b ?c `d` 5 -1 "x" true null ( ) ( ) [ ] ![ , . = == != < > : + - *
/ % in in~ like regex~ sequence sample by with maxspan = 5m runs until of | head filter unique
length( startsWith~( 'x' "z /* // ? ~ & $ \
""".split()


def says_what_is_wrong(text: str) -> bool:
    """Tell whether the text is a query, or its error can be shown."""
    try:
        eql.compile(text)
    except eql.EqlError as error:
        return error.message in str(error)
    return True


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_whatever_the_words_they_are_a_query_or_an_error_that_can_be_shown(text: str) -> None:
    assert says_what_is_wrong(text)
    assert says_what_is_wrong(f"process where {text}")
    assert says_what_is_wrong(f"sequence by a [any where a] {text}")


@given(st.text())
def test_whatever_the_text_it_is_a_query_or_an_error_that_can_be_shown(text: str) -> None:
    assert says_what_is_wrong(text)
    assert says_what_is_wrong(f"any where a {text}")
