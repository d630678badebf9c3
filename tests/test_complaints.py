"""What users of other gateways complain about most has a test of its own here.

The numbers are those of docs/complaints.md. A test that answers one has complaint_N_ in its name and fails when the
remedy is taken out.
"""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PLACES = ("src/**/*_test.c", "tests/*.py", "tests/sim/*.c")
NAME = re.compile(r"complaint_(\d+)_\w+")
PAGE = (TOP / "docs/complaints.md").read_text()
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def names_by_number():
    found = {}
    for place in PLACES:
        for path in TOP.glob(place):
            for m in NAME.finditer(path.read_text()):
                found.setdefault(int(m[1]), set()).add(m[0])
    return found


@pytest.mark.parametrize("number", range(1, 17))
def test_each_complaint_has_a_test_and_a_line_on_the_page(number):
    names = names_by_number().get(number)
    assert names, f"no test is called complaint_{number}_..."
    rows = {int(m[1]): m[4] for m in ROW.finditer(PAGE)}
    assert any(name in rows[number] for name in names), f"docs/complaints.md names none of {sorted(names)}"


def test_the_page_names_tests_that_are_there():
    there = set().union(*names_by_number().values())
    named = {m[0] for m in NAME.finditer(PAGE)}
    assert named and named <= there, sorted(named - there)
