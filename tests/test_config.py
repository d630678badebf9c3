"""`lineside check`, the JSON Schema it prints, the examples and the page of keys, held against each other."""

import json
import shutil
import subprocess

import jsonschema
import pytest
import yaml
from config_docs import PAGE, maps_of, split, tables
from conftest import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
GOOD = {"gateway": {"name": "g"}, "lines": [{"name": "r", "type": "sim"}], "devices": [{"name": "d", "line": "r"}]}


def check(lineside, *args, **kw):
    return subprocess.run([lineside, "check", *args], capture_output=True, text=True, timeout=10, **kw)


@pytest.fixture(scope="module")
def schema(lineside):
    done = check(lineside, "--schema")
    assert done.returncode == 0 and done.stderr == ""
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def keys_of(value, path=""):
    """Every key path of a document, list indices as []."""
    if isinstance(value, dict):
        for key, below in value.items():
            here = f"{path}.{key}" if path else key
            yield here
            yield from keys_of(below, here)
    elif isinstance(value, list):
        for below in value:
            yield from keys_of(below, path + "[]")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_every_example_is_without_fault_as_yaml_and_as_json(lineside, schema, path, tmp_path):
    done = check(lineside, "-c", path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1, done.stdout
    document = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # the keys of an enum are texts, as in JSON
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    same = tmp_path / "same.json"
    same.write_text(json.dumps(document, indent=1))
    for table in path.parent.glob("*.csv"):
        shutil.copy(table, tmp_path)
    as_json = check(lineside, "-c", same)
    assert as_json.returncode == 0, as_json.stdout
    assert as_json.stdout.split("; ")[1] == done.stdout.split("; ")[1]


def test_the_example_of_every_key_has_every_key(schema):
    known = {
        f"{path}.{key}" if path else key
        for path, below in maps_of("", schema)
        for key, value in below["properties"].items()
        if "not" not in value
    }
    assert known - set(keys_of(yaml.safe_load((ROOT / "examples" / "every-key.yaml").read_text()))) == set()


def test_the_page_of_keys_is_that_of_the_program(lineside):
    assert split(PAGE.read_text())[1] == "\n" + tables(lineside), "/usr/bin/python3 tests/config_docs.py build/lineside"


def test_every_default_is_one_that_the_schema_takes(schema):
    for path, below in maps_of("", schema):
        for key, value in below["properties"].items():
            if "default" in value:
                jsonschema.validate(value["default"], value, jsonschema.Draft202012Validator)


WRONG = [
    (["lines", 0, "host"], "x", "lines[0].host"),
    (["lines", 0, "type"], "simm", "lines[0].type"),
    (["lines", 0], {"name": "p", "type": "modbus-tcp"}, "lines[0].host"),
    (["gateway", "name"], "a/b", "gateway.name"),
    (["gateway", "name"], 5, "gateway.name"),
    (["gateway", "nam"], "a", "gateway.nam"),
    (["devices", 0, "unit"], 256, "devices[0].unit"),
    (["devices", 0, "unit"], "1", "devices[0].unit"),
    (["devices", 0, "tags"], [{"address": "do:0"}], "devices[0].tags[0].name"),
    (["devices", 0, "tags"], [{"name": "a", "address": "do0"}], "devices[0].tags[0].address"),
    (["broker"], {"connect_timeout": 10}, "broker.connect_timeout"),
    (["broker"], {"max_packet_size": "1MB"}, "broker.max_packet_size"),
    (["users"], [{"name": "x"}], "users"),
    (["storage"], {"path": "x", "linger": 5}, "storage.linger"),
    (["storage"], {"path": "x", "durability": "sync"}, "storage.durability"),
    (["storage"], {"path": 5}, "storage.path"),
    (["devices"], {}, "devices"),
]


@pytest.mark.parametrize("path, value, place", WRONG, ids=[f"{p[-1]}-{i}" for i, (p, _, _) in enumerate(WRONG)])
def test_program_and_schema_refuse_the_same(lineside, schema, tmp_path, path, value, place):
    document = json.loads(json.dumps(GOOD))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(document))
    done = check(lineside, "-c", file)
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if f": {place}: " in line], done.stdout
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


def test_a_fault_names_file_line_column_key_and_what_is_allowed(lineside, tmp_path):
    (tmp_path / "plant.yaml").write_text("gateway: {name: a}\nlog:\n  level: loud\nlines:\n  - {nam: a, type: sim}\n")
    done = check(lineside, "-c", "plant.yaml", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.splitlines() == [
        'plant.yaml:3:10: log.level: found "loud", allowed: error, warning, notice, info, debug',
        "plant.yaml:5:5: lines[0].name: found nothing, allowed: 1 to 64 characters without / + #, not starting with $ or _, "
        'and not "set"',
        'plant.yaml:5:6: lines[0].nam: is not a key of a line, did you mean "name"?',
    ]


def test_a_file_that_is_not_there_is_said_on_standard_error(lineside, tmp_path):
    done = check(lineside, "-c", tmp_path / "none.yaml")
    assert done.returncode == 1 and done.stdout == "" and "No such file" in done.stderr


@pytest.mark.parametrize("args", [["-x"], ["file.yaml"], ["-c"]])
def test_wrong_arguments_are_status_2(lineside, args):
    assert check(lineside, *args).returncode == 2
