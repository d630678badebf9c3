"""The release binary is hardened: what the build asks for is really in force."""

import re
import subprocess

import pytest

pytestmark = pytest.mark.release


@pytest.fixture(scope="module")
def readelf(lineside):
    def ask(*flags):
        return subprocess.run(["readelf", "-W", *flags, lineside], capture_output=True, text=True, check=True).stdout

    return ask


def test_it_is_a_position_independent_executable(readelf):
    assert re.search(r"Type:\s+DYN \(Position-Independent Executable file\)", readelf("-h"))


def test_its_relocations_are_read_only_once_it_runs(readelf):
    assert "GNU_RELRO" in readelf("-l")
    dynamic = readelf("-d")
    assert re.search(r"\(FLAGS(_1)?\).*\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic


def test_no_segment_is_writable_and_executable(readelf):
    segments = re.findall(r"^\s+(\w+)(?:\s+0x[0-9a-f]+){5}\s+([RWE ]{3})", readelf("-l"), re.MULTILINE)
    assert dict(segments)["GNU_STACK"] == "RW "
    assert all(not ("W" in flags and "E" in flags) for _, flags in segments)


def test_stack_protector_and_fortify_are_compiled_in(lineside):
    core = lineside.parent / "liblineside-core.a"
    asked_for = subprocess.run(["nm", "-u", core], capture_output=True, text=True, check=True).stdout
    assert "__stack_chk_fail" in asked_for
    assert "__vsnprintf_chk" in asked_for


def test_it_looks_for_libraries_nowhere_of_its_own(readelf):
    assert not re.search(r"\((RPATH|RUNPATH)\)", readelf("-d"))
