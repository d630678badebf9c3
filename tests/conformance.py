"""Which test covers which normative statement of MQTT, for docs/conformance.md.

    /usr/bin/python3 tests/conformance.py             writes the tables into the page and lists what has no test
    /usr/bin/python3 tests/conformance.py --check     writes nothing; exit status 1 if something is missing or out of date

docs/conformance/clauses-VERSION.tsv has the statements of each version: clause, whom it binds (server, both, client), what it says in
our words, and why it is not in this version, if so. Tests name the clauses that they cover where they are:

    @covers("5.0", "MQTT-3.1.2-24", "MQTT-3.1.2-25")           on a pytest function, or among the marks of a pytest.param
    /* covers 5.0 [MQTT-3.1.2-24]; 3.1.1 [MQTT-3.3.1-1] */     before a function of a unit test or a simulation
"""

import importlib
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- clauses: begin -->\n", "<!-- clauses: end -->\n"
VERSIONS = ("3.1.1", "5.0")
CLAUSE = r"MQTT-\d[\d.-]*\d"


def covers(version, *clauses):
    """The marker of a test or of one of its cases."""
    return pytest.mark.covers(version, *clauses)


class Clause:
    def __init__(self, binds, what="", later=""):
        self.binds, self.what, self.later = binds, what, later
        self.needs_test = binds != "client" and not later


def table(version):
    """The statements of a version by their ids, in the order of the standard."""
    rows = (ROOT / "docs" / "conformance" / f"clauses-{version}.tsv").read_text().splitlines()[1:]
    return {row.split("\t")[0]: Clause(*row.split("\t")[1:]) for row in rows}


# ---- what tests say ----


def marks_of(function):
    """(case or None, mark) of a test function and of the cases it is parametrized with."""
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "covers":
            yield None, mark
        elif mark.name == "parametrize":
            for case in mark.args[1]:
                for inner in getattr(case, "marks", ()):
                    yield case.id, inner


def of_python(path):
    """(test, version, clause) of a file of pytest."""
    if "covers" not in path.read_text():
        return
    module = importlib.import_module(path.stem)
    for name, function in vars(module).items():
        if not name.startswith("test_"):
            continue
        for case, mark in marks_of(function):
            if mark.name != "covers":
                continue
            for clause in mark.args[1:]:
                yield (f"{name}[{case}]" if case else name), mark.args[0], clause


COMMENT = re.compile(r"/\*[\s*]*covers (.*?)\*/", re.DOTALL)
FUNCTION = re.compile(r"^\w[\w *]*?\b(\w+)\([^;]*$", re.MULTILINE)


def of_c(path):
    text = path.read_text()
    for comment in COMMENT.finditer(text):
        function = FUNCTION.search(text, comment.end())
        version = None
        for word in re.findall(rf"3\.1\.1|5\.0|\[{CLAUSE}\]", comment.group(1)):
            if word in VERSIONS:
                version = word
            else:
                yield function.group(1) if function else "", version, word[1:-1]


def collect():
    """{(version, clause): {file: [tests]}}"""
    found = defaultdict(lambda: defaultdict(list))
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for test, version, clause in of_python(path):
            found[version, clause][path.name].append(test)
    for path in sorted([*(ROOT / "src").rglob("*_test.c"), *(ROOT / "tests" / "sim").glob("*.c")]):
        for test, version, clause in of_c(path):
            found[version, clause][path.name].append(test)
    return found


# ---- what is wrong ----


def unknown_in_text(tables):
    """Ids that code, tests and pages name and no table has: those of the version in front of them, or of any."""
    suffixes = (".c", ".h", ".py", ".md")
    for path in sorted(p for d in ("src", "tests", "fuzz", "docs") for p in (ROOT / d).rglob("*") if p.suffix in suffixes):
        text = path.read_text()
        for found in re.finditer(rf"(?:(3\.1\.1|5\.0) )?\[?({CLAUSE})", text):
            version, clause = found.groups()
            if not any(clause in tables[v] for v in ([version] if version else VERSIONS)):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{path.relative_to(ROOT)}:{line}: MQTT {version or 'of no version'} has no {clause}"


def faults(tables, found):
    for version in VERSIONS:
        for clause, c in tables[version].items():
            if c.needs_test and (version, clause) not in found:
                yield f"{version} [{clause}] has no test: {c.what}"
    for (version, clause), files in found.items():
        if version not in tables or clause not in tables[version]:
            yield f"{', '.join(files)}: {version} [{clause}] is no statement of the standard"
    yield from unknown_in_text(tables)


# ---- the page ----


def short(clause):
    return clause.removeprefix("MQTT-")


def tests_of(names, version):
    """Cases of one test behind its name; the version that they end in is that of the table."""
    cases = defaultdict(list)
    for name in dict.fromkeys(names):
        test, _, case = name.partition("[")
        cases[test] += [case.removesuffix("]").removesuffix(f", {version}")] if case else []
    return ", ".join(f"{test} ({'; '.join(of)})" if of else test for test, of in cases.items())


def tests_cell(c, files, version):
    if c.later:
        return f"not in this version: {c.later}"
    return ". ".join(f"`{name}`: {tests_of(names, version)}" for name, names in files.items())


def render_version(version, clauses, found):
    binding = {k: c for k, c in clauses.items() if c.binds != "client"}
    clients = [short(k) for k, c in clauses.items() if c.binds == "client"]
    later = sum(bool(c.later) for c in binding.values())
    rows = [f"### {version}\n\n",
            f"{len(binding)} statements bind a server, or both sides; {len(binding) - later} have a test, {later} are not in this version. "
            f"{len(clients)} bind clients only: {', '.join(clients)}.\n\n", "| MQTT- | what | tests |\n", "|---|---|---|\n"]
    rows += [f"| {short(k)} | {c.what} | {tests_cell(c, found.get((version, k), {}), version)} |\n" for k, c in binding.items()]
    return "".join(rows) + "\n"


def render(tables, found):
    return "\n" + "".join(render_version(v, tables[v], found) for v in VERSIONS)


def split(page):
    head, rest = page.split(BEGIN)
    return head, *rest.split(END)


def main():
    tables, found = {v: table(v) for v in VERSIONS}, collect()
    wrong = list(faults(tables, found))
    before, now, after = split(PAGE.read_text())
    wanted = render(tables, found)
    if "--check" not in sys.argv:
        PAGE.write_text(before + BEGIN + wanted + END + after)
    elif now != wanted:
        wrong.append(f"{PAGE.relative_to(ROOT)} is out of date: run tests/conformance.py")
    print("\n".join(wrong) if wrong else "every statement that binds a server has a test")
    return 1 if wrong and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.modules["conformance"] = sys.modules["__main__"]  # the tests that are looked at import it
    sys.exit(main())
