"""Tags as CSV tables: out to a spreadsheet, back in, and what spreadsheets do to them on the way."""

import csv
import io
import random
import signal
import subprocess
import time

import pytest
import yaml
from test_field import Gateway, device  # noqa: F401 (a fixture)

LINE = "lines: [{name: l, type: modbus-tcp, host: h}]\n"


@pytest.fixture
def run(lineside, tmp_path):
    def run(*args, status=0):
        done = subprocess.run([lineside, *args], cwd=tmp_path, capture_output=True, timeout=60)
        assert done.returncode == status, (done.stdout + done.stderr).decode()
        return done.stdout.decode(), done.stderr.decode()

    return run


def device_of(tags, **keys):
    return {"lines": [{"name": "l", "type": "modbus-tcp", "host": "h"}], "devices": [{"name": "d", "line": "l", **keys, "tags": tags}]}


def random_tag(rng, i):
    """A tag with some of every kind of key; texts with what CSV and YAML care about."""
    tag = {"name": rng.choice(["tag ", "tag,", 'tag"', "tag;", "°", "null ", "it's "]) + str(i), "address": f"holding:{i % 60000}"}
    kind = rng.randrange(5)
    if kind == 0:
        tag |= {"type": "uint16", "scale": rng.choice([0.1, 0.001, 2, -0.5]), "offset": rng.randrange(-40, 40), "unit": rng.choice(["V", "m³/h", "%", '"', "a, b"])}
    elif kind == 1:
        tag |= {"type": "int16", "map": {"raw": [0, 27648], "value": [-50.5, rng.randrange(1, 300)], "clamp": rng.choice([True, False])}}
    elif kind == 2:
        tag |= {"type": "uint16", "enum": {"0": "off, really", "1": 'o"n', "7": "a: b"}, "access": "rw"}
    elif kind == 3:
        tag |= {"type": "float32", "order": rng.choice(["ABCD", "CDAB", "BADC", "DCBA"]), "deadband": 0.5}
    else:
        tag |= {"type": "string", "length": rng.randrange(1, 40)}
    return tag


def test_complaint_16_ten_thousand_tags_go_out_and_come_back(run, tmp_path):
    rng = random.Random(5)
    tags = [random_tag(rng, i) for i in range(10000)]
    (tmp_path / "in.yaml").write_text(yaml.safe_dump(device_of(tags), allow_unicode=True))
    run("check", "-c", "in.yaml")
    begun = time.monotonic()
    run("tags", "export", "-c", "in.yaml", "-o", "table.csv")
    out, _ = run("tags", "import", "table.csv", "--dry-run")
    assert out == "table.csv: rows: 10000, faults: 0\n"
    run("tags", "import", "table.csv", "-d", "d", "-l", "l", "-o", "out.yaml")
    assert time.monotonic() - begun < 20
    back = yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert [without_types(t) for t in back[0]["tags"]] == [without_types(t) for t in tags]
    (tmp_path / "again.yaml").write_text(LINE + "devices:\n" + (tmp_path / "out.yaml").read_text())
    run("check", "-c", "again.yaml")
    run("tags", "export", "-c", "again.yaml", "-o", "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    (tmp_path / "file.yaml").write_text(LINE + "devices: [{name: d, line: l, tags_file: table.csv}]\n")
    run("tags", "export", "-c", "file.yaml", "-o", "file.csv")
    assert (tmp_path / "file.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [r["name"] for r in rows] == [t["name"] for t in tags], "as another reader of CSV sees it"


def without_types(tag):
    """YAML's 1 and 1.0, and the keys of a map, are one thing here."""
    return {k: {str(a): b for a, b in v.items()} if isinstance(v, dict) else v for k, v in tag.items()}


GOOD = "name,address,type,scale\nvoltage,holding:0,uint16,0.1\nlevel,holding:1,int16,\n"


@pytest.mark.parametrize("name,table", {
    "plain": GOOD.encode(),
    "byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "semicolons": GOOD.replace(",", ";").encode(),
    "tabs": GOOD.replace(",", "\t").encode(),
    "CR LF": GOOD.replace("\n", "\r\n").encode(),
    "CR": GOOD.replace("\n", "\r").encode(),
    "no end of the last line": GOOD.rstrip("\n").encode(),
    "every cell in quotes": "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in GOOD.splitlines()).encode(),
    "empty lines": GOOD.replace("\n", "\n\n").encode(),
    "empty cells behind": GOOD.replace("\n", ",,\n").replace("scale,,", "scale,unit,").encode().replace(b"unit,", b"unit,group"),
}.items())
def test_what_spreadsheets_write_is_read(run, tmp_path, name, table):
    (tmp_path / "t.csv").write_bytes(table)
    out, _ = run("tags", "import", "t.csv", "--dry-run")
    assert out == "t.csv: rows: 2, faults: 0\n"
    out, _ = run("tags", "import", "t.csv")
    assert yaml.safe_load(out)[0]["tags"] == [{"name": "voltage", "address": "holding:0", "type": "uint16", "scale": 0.1},
                                              {"name": "level", "address": "holding:1", "type": "int16"}]


@pytest.mark.parametrize("table,place,says", [
    (b"name;address;type;scale\nx;holding:0;uint16;0,1\n", "t.csv:2:4:", 'found "0,1", allowed: a number with a decimal point'),
    (b"name,address,type\nx,holding:0,uint6\n", "t.csv:2:3:", 'did you mean "uint8"?'),
    (b"name,address,type\nx,holding:0,uint16\nx,holding:1,uint16\n", "t.csv:3:1:", "the name of another tag of this device"),
    (b"name,adress,type\nx,holding:0,uint16\n", "t.csv:1:2:", 'did you mean "address"?'),
    (b"name,address,name\n", "t.csv:1:3:", 'the column "name" twice'),
    (b"name,address,type\nx,holding:0,uint16,5\n", "t.csv:2:4:", "behind the last of the 3 columns"),
    (b'name,address,type\n"x,holding:0,uint16\n', "t.csv:2:1:", "a quote that is never closed"),
    (b'name,address,type\n"x"y,holding:0,uint16\n', "t.csv:2:1:", "text behind the closing quote"),
    (b'name,address,type\nx"y,holding:0,uint16\n', "t.csv:2:1:", "put the whole cell in quotes"),
    (b"name,address,type,unit\nx,holding:0,uint16,\xb0C\n", "t.csv:2:1:", 'save the table as "CSV UTF-8"'),
    (b"", "t.csv:1:1:", "no row that names the columns"),
    (b'name,address,type,map\nx,holding:0,int16,"{raw: [0, 1], value: [0}"\n', "t.csv:2:4:", ""),
    (b'name,address,type,map\nx,holding:0,int16,"{raw: [0, 1], value: [5, 5]}"\n', "t.csv:2:4:", "two different numbers"),
    (b'name,address,type,enum\nx,holding:0,int16,"{0: a, 1: a}"\n', "t.csv:2:4:", "a text of its own"),
    (b"name,address,type\nx,,uint16\n", "t.csv:2:1:", "address: found nothing"),
    (b'name,address,type\n"a\nb",holding:0,uint16\ny,holding:99999,int16\n', "t.csv:4:2:", "holding:99999"),
])
def test_a_fault_is_said_with_line_cell_and_remedy(run, tmp_path, table, place, says):
    (tmp_path / "t.csv").write_bytes(table)
    out, _ = run("tags", "import", "t.csv", "--dry-run", status=1)
    assert any(line.startswith(place) and says in line for line in out.splitlines()), out
    (tmp_path / "f.yaml").write_text(LINE + "devices: [{name: d, line: l, tags_file: t.csv}]\n")
    out, _ = run("check", "-c", "f.yaml", status=1)
    assert any(line.startswith(place) and says in line for line in out.splitlines()), out


def test_rows_are_checked_against_a_device_of_a_configuration(run, tmp_path):
    (tmp_path / "f.yaml").write_text(LINE + "devices:\n  - {name: d, line: l, unit: 3, groups: [{name: fast}], tags: [{name: old, address: coil:0, group: fast}]}\n"
                                     "  - {name: e, line: l, tags: [{name: x, address: coil:0}]}\n")
    (tmp_path / "t.csv").write_text("name,address,type,group\nx,3!400001,uint16,fast\ny,2!400001,uint16,slow\n")
    out, _ = run("tags", "import", "t.csv", "--dry-run", "-c", "f.yaml", "-d", "d", status=1)
    assert "found unit 2, but the device has unit 3" in out and "the name of one of the device's groups" in out
    assert out.endswith("t.csv: rows: 2, faults: 2\n")
    (tmp_path / "t.csv").write_text("name,address,type\nx,3!400001,uint16\n")
    out, _ = run("tags", "import", "t.csv", "-c", "f.yaml", "-d", "d")
    assert yaml.safe_load(out) == [{"name": "d", "line": "l", "unit": 3, "groups": [{"name": "fast"}], "tags": [{"name": "x", "address": "3!400001", "type": "uint16"}]}]
    _, err = run("tags", "import", "t.csv", "-c", "f.yaml", status=1)
    assert "name one with --device" in err


def test_nothing_is_written_over(run, tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "plant.yaml").write_text("mine\n")
    _, err = run("tags", "import", "t.csv", "-o", "plant.yaml", status=1)
    assert "is not written over" in err
    assert (tmp_path / "plant.yaml").read_text() == "mine\n"


def test_tags_of_a_template_a_table_and_the_device_replace_each_other(run, tmp_path):
    (tmp_path / "t.csv").write_text("name,address,type\nb,holding:20,int16\nc,holding:30,int16\n")
    (tmp_path / "f.yaml").write_text(LINE + """
templates:
  - {name: t, parameters: {base: 0}, tags: [{name: a, address: "holding:${base}", type: uint16}, {name: b, address: "holding:${base+1}", type: uint16}]}
devices:
  - {name: d, line: l, template: t, parameters: {base: 5}, tags_file: t.csv, tags: [{name: c, address: "holding:40", type: int32}, {name: e, address: coil:1}]}
""")
    out, _ = run("tags", "export", "-c", "f.yaml")
    rows = [(r["name"], r["address"], r["type"]) for r in csv.DictReader(io.StringIO(out))]
    assert rows == [("a", "holding:5", "uint16"), ("b", "holding:20", "int16"), ("c", "holding:40", "int32"), ("e", "coil:1", "")]


def test_a_table_is_read_again_with_the_configuration(lineside, tmp_path, device):  # noqa: F811
    device.write(0, [7, 8])
    (tmp_path / "t.csv").write_text("name,address,type\na,40001,uint16\n")
    m1 = {"name": "m1", "line": "press", "tags_file": "t.csv"}
    g = Gateway(lineside, tmp_path, [{"name": "press", "type": "modbus-tcp", "host": "127.0.0.1", "port": device.port}], [m1])
    try:
        g.value("plant1/m1/a", 7)
        (tmp_path / "t.csv").write_text('name,address,type,enum\na,40001,uint16,"{7: seven}"\nb,40002,uint16,\n')
        g.process.send_signal(signal.SIGHUP)
        g.value("plant1/m1/b", 8)
        g.value("plant1/m1/a", "seven")
    finally:
        g.stop()
