"""Every kind of wrong configuration gets a message with its place and what to do: tests/config/wrong.yaml is the table."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# One of each shape that somebody may write where another one belongs.
SHAPES = (None, "x", [], {}, [1], [None], [[1]], [{}], {"a": 1}, {"a": {"b": 1}})
TABLE = yaml.safe_load((Path(__file__).parent / "config/wrong.yaml").read_text())
BASES, CASES = TABLE["bases"], TABLE["cases"]
KINDS_LEAST = 140
PLACE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<path>[^ ]+): (?P<text>.+)$")
# What makes a message a remedy: it says what may stand there, or what to do.
REMEDY = re.compile(r"\b(allowed|needed|did you mean|applies only|such as|give (?:it|one|each|the)|add|remove)\b")


def check(lineside, tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return subprocess.run([lineside, "check", "-c", path.name], cwd=tmp_path, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("name", BASES)
def test_a_base_has_no_fault(lineside, tmp_path, name):
    done = check(lineside, tmp_path, BASES[name])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["kind"])
def test_what_is_wrong_is_said_with_place_and_remedy(lineside, tmp_path, case):
    base = BASES[case["in"]]
    assert base.count(case["old"]) == 1, "the place of the case is not the only one"
    at = base.index(case["old"])
    done = check(lineside, tmp_path, base.replace(case["old"], case["new"]))
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    messages = [m for m in map(PLACE.match, output.splitlines()) if m]
    said = [m for m in messages if m["path"] == case["path"] and case["says"] in m["text"]]
    assert said, output
    assert said[0]["file"] == "file.yaml"
    assert int(said[0]["line"]) == base.count("\n", 0, at) + 1 + case.get("line", 0), output
    assert REMEDY.search(said[0]["text"]), said[0]["text"]


def test_there_are_enough_kinds():
    kinds = [case["kind"] for case in CASES]
    assert len(kinds) == len(set(kinds))
    assert len(kinds) >= KINDS_LEAST


def lists_and_maps(node, path=()):
    """The paths of all lists and maps below `node`, which is one."""
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(child, (dict, list)):
            yield (*path, key)
            yield from lists_and_maps(child, (*path, key))


def with_shape(doc, path, shape):
    doc = copy.deepcopy(doc)
    parent = doc
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = shape
    return json.dumps(doc)


def test_no_shape_in_the_place_of_another_ends_the_program(lineside, tmp_path):
    doc = yaml.safe_load((EXAMPLES / "every-key.yaml").read_text())
    paths = list(lists_and_maps(doc))
    assert len(paths) >= 90
    for table in EXAMPLES.glob("*.csv"):
        shutil.copy(table, tmp_path)
    for path in paths:
        for shape in SHAPES:
            done = check(lineside, tmp_path, with_shape(doc, path, shape))
            assert done.returncode in (0, 1), (path, shape, done.returncode)
            assert done.stdout or done.stderr, (path, shape)
