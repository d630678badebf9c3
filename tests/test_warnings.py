"""Warnings are errors: the build's own flags refuse code that only earns a warning."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parent.parent / "build"

pytestmark = pytest.mark.release

FAULTS = {
    "no prototype": "int shout(void) { return 1; }",
    "an old-style definition": "int shout(); int shout() { return 1; }",
    "a shadowed name": "int shout(int a); int shout(int a) { { int a = 2; return a; } }",
    "a narrowing": "char shout(long a); char shout(long a) { return a; }",
    "a lost const": "char *shout(const char *a); char *shout(const char *a) { return (char *)a; }",
    "a fall-through": "int shout(int a); int shout(int a) { switch (a) { case 1: a = 3; case 2: return a; } return 0; }",
    "an array sized at run time": "int shout(int n); int shout(int n) { int a[n]; a[0] = n; return a[0]; }",
    "an ignored result": '#include "base/log.h"\nvoid shout(void); void shout(void) { enum log_level l; log_level_parse("x", &l); }',
}


@pytest.fixture(scope="module")
def compile_text():
    """Compile a text with the command of src/base/err.c, from the build's compile_commands.json."""
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    entry = next(e for e in entries if e["file"].endswith("src/base/err.c"))
    words, command = iter(shlex.split(entry["command"])), []
    for word in words:
        if word in ("-o", "-c", "-MF", "-MQ"):
            next(words)
        elif word != "-MD":
            command.append(word)
    command += ["-x", "c", "-c", "-o", "/dev/null", "-"]

    def run(text):
        return subprocess.run(command, input=text + "\n", cwd=entry["directory"], capture_output=True, text=True)

    return run


def test_clean_code_compiles(compile_text):
    done = compile_text("int shout(int a);\nint shout(int a)\n{\n\treturn a + 1;\n}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", FAULTS)
def test_a_warning_stops_the_build(compile_text, what):
    done = compile_text(FAULTS[what])
    assert done.returncode != 0 and "-Werror" in done.stderr, what
