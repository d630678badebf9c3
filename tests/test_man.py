"""Every command has a manual page, and both tell of the same options."""

import re
import subprocess
from pathlib import Path

import pytest

MAN = Path(__file__).resolve().parent.parent / "docs" / "man"
# "-p", "-p PORT", "--port=PORT", "-p, --port PORT": the names at the start of a line of --help
OPTION = re.compile(r"(?<![\w-])--?[A-Za-z0-9][\w-]*")


def help_text(lineside, *command):
    done = subprocess.run([lineside, *command, "--help"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, f"{' '.join(command)} --help: {done.stderr}"
    return done.stdout


def commands(lineside):
    listed = re.search(r"^Commands:\n((?:  .*\n)*)", help_text(lineside), re.MULTILINE).group(1)
    return [line.split()[0] for line in listed.splitlines()]


def option_names(line):
    """The option names that open a line: those before its explanation, which two blanks set apart."""
    return OPTION.findall(re.split(r"\s{2,}", line.strip())[0])


def help_options(text):
    return {name for line in text.splitlines() if line.startswith("  -") for name in option_names(line)}


def plain(line):
    """A line of roff as text: no fonts, no escapes."""
    line = re.sub(r'\\f(\[\w*\]|\(..|.)', "", line).replace(r"\-", "-").replace(r"\&", "").replace('"', "")
    return re.sub(r"^\.[A-Z]+\s*", "", line)


def man_options(page):
    """The options in the tagged paragraphs (.TP) of the sections whose heading ends in OPTIONS."""
    names, section, tag = set(), "", False
    for line in page.read_text().splitlines():
        if line.startswith(".SH"):
            section = plain(line)
        elif line.startswith(".TP"):
            tag = True
        elif tag:
            tag = False
            text = re.sub(r"(?<=\w) (?=,)", "", plain(line))
            if section.endswith("OPTIONS") and text.startswith("-"):
                names |= set(OPTION.findall(text))
    return names


def test_the_page_of_lineside_has_the_options_of_its_help(lineside):
    assert man_options(MAN / "lineside.1") == help_options(help_text(lineside))


def test_every_command_has_a_page_with_the_options_of_its_help(lineside):
    faults = []
    for command in commands(lineside):
        page = MAN / f"lineside-{command}.1"
        if not page.is_file():
            faults.append(f"{page.name} is missing")
            continue
        told, written = help_options(help_text(lineside, command)), man_options(page)
        faults += [f"{page.name} lacks {name}" for name in sorted(told - written)]
        faults += [f"lineside {command} --help lacks {name}" for name in sorted(written - told)]
    assert faults == []


def test_every_page_belongs_to_a_command(lineside):
    known = {"lineside.1"} | {f"lineside-{c}.1" for c in commands(lineside)}
    assert {p.name for p in MAN.glob("lineside*.1")} - known == set()


@pytest.mark.parametrize(
    "line, names",
    [
        ("  -p PORT          the port", {"-p"}),
        ("  -p, --port PORT  the port, see -h", {"-p", "--port"}),
        ("  --will-topic T   as -t", {"--will-topic"}),
        ("  --help     say this", {"--help"}),
        ("text -x", set()),
    ],
)
def test_option_names_open_a_line_of_help(line, names):
    assert help_options(line) == names


def test_option_names_are_found_in_roff(tmp_path):
    page = tmp_path / "x.1"
    page.write_text(
        ".SH DESCRIPTION\n.TP\n.B \\-n\nno option\n.SH OPTIONS\n.TP\n.BR \\-p \", \" \\-\\-port \" \" \\fIPORT\\fR\nnot \\-z\n"
        ".TP\n\\fB\\-\\-will\\-topic\\fR \\fITOPIC\\fR\nmore\n.TP\nnone\n"
    )
    assert man_options(page) == {"-p", "--port", "--will-topic"}
