"""Whoever writes the value must not choose the time: matching is linear in the value's length.

What is measured is the processor's time, the least of several runs, for values one of which is 16
times as long as the other. In linear time that takes 16 times as long, in quadratic time 256 times;
the bound between is wide enough for a busy machine.
"""

from __future__ import annotations

from time import process_time

import pytest

from auditrule import eql

SHORT, LONG = 2**17, 2**21  # 2 MB
BOUND = 64

# A condition on the fields a and b, and what their values are made of.
CASES = [
    # Runs of a wildcard pattern that occur everywhere, while the last does not.
    ('a : "*a*b*c*d*e*"', "abcd"),
    ('a : "*a*b*c*d*e"', "aaab"),
    ('a like "*?a*?b*"', "aaac"),
    ('a like~ "*A?A?A?A*AAAAB*"', "a"),
    ('a : ("*aaaaaaaaaaaaaaaaaaaab*", "*b*c", "c*")', "a"),
    ('not a : "*a*a*a*a*a*a*a*a*a*a*z*"', "a"),
    # Repetitions in repetitions and many ways to match.
    ('a regex "(a|b)*c(a|b)*d?"', "ab"),
    ('a regex "(a*)*(b|c)@"', "a"),
    ('a regex "(a|a)*b+@"', "a"),
    ('a regex~ "(.*A){10}.*b.*"', "a"),
    ('a regex ".*.*.*=.*"', "x"),
    ('a regex "(a?){20}a{20}b@"', "a"),
    ('a regex ("@a[^b]{1,20}c@", "(x+x+)+y@")', "xa"),
    # Functions.
    ('startsWith~(a, "aaaaaaaaaab")', "A"),
    ('endsWith~(a, "baaaaaaaaa")', "A"),
    ('stringContains(a, "aaaaaaaaaaaaaaaaaaaab")', "a"),
    ('stringContains~(a, "AAAAAAAAAAAAAAAAAAAAB")', "a"),
    ('indexOf~(a, "aaaaaaaaab") == null', "a"),
    ('between(a, "ab", "aaaaaaaaab") == "x"', "aaac"),
    ('between~(a, "a", "aaaaaaaaab", true) == "x"', "A"),
    ('length(concat(a, a, a)) == 1 or substring(a, 1) == "x"', "a"),
    ('number(a) == 1 or number(a, 16) == 1 or a + 1 == 2 or -a == 1 or cidrMatch(a, "::/0")', "1"),
    ('a == "x" or a < "a" or a in~ ("x") or a > 5 or a == true or a == "2024-05-01"', "2"),
    # Two values at a time: b is the half of a, and one character more.
    ("stringContains(a, b)", "a"),
    ("endsWith~(a, b) or startsWith~(a, b)", "ab"),
    ('indexOf~(a, b, 1) == 1 or between(a, b, "a") == "x" or between(a, "a", b) == "x"', "a"),
]


def least_time(query: eql.Query, unit: str, size: int, repeats: int) -> float:
    event = {"a": unit * (size // len(unit)), "b": unit * (size // len(unit) // 2) + "Z"}
    query.matches(event)
    times = []
    for _ in range(3):
        start = process_time()
        for _ in range(repeats):
            query.matches(event)
        times.append(process_time() - start)
    return min(times) / repeats


@pytest.mark.parametrize(("condition", "unit"), CASES)
def test_sixteen_times_the_value_takes_about_sixteen_times_as_long(
    condition: str, unit: str
) -> None:
    query = eql.compile(f"any where {condition}")
    # What takes less than a clock can tell is taken as a millisecond.
    short = max(least_time(query, unit, SHORT, 4), 1e-3)
    assert least_time(query, unit, LONG, 1) < BOUND * short
