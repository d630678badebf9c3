"""The sum of all tests can be trusted."""

from collections import Counter

import pytest
from run_all import count_cases

JUNIT = b"""<?xml version='1.0' encoding='utf8'?>
<testsuites tests="2"><testsuite name="a"><testcase name="x"/><system-out>%s</system-out></testsuite>
<testsuite name="b"><testcase name="y"><failure message="m"/></testcase><testcase name="z"><skipped/></testcase></testsuite></testsuites>
"""


@pytest.mark.parametrize("printed", [b"plain", b"caf\xc3\xa9", b"\x00\x01\x1f\x0b", b"\xff\xfe\xc3", b"\xef\xbf\xbf", b"\xed\xa0\x80"])
def test_cases_are_counted_whatever_a_test_printed(tmp_path, printed):
    junit = tmp_path / "junit.xml"
    junit.write_bytes(JUNIT % printed)
    assert count_cases(junit) == (Counter(passed=1, failed=1, skipped=1), {"b"})
