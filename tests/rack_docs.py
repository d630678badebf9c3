"""The tables of docs/racks.md, from those of the program: attributes of channels and modes of analog ones.

    /usr/bin/python3 tests/rack_docs.py    writes them into the page
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "racks.md"
ATTRIBUTES, MODES = ROOT / "src/south/io_registers.h", ROOT / "src/config/io_modes.h"
KINDS = {"IO_DI": "di", "IO_DO": "do", "IO_RELAY": "relay", "IO_MEASURES": "ai, rtd, tc", "IO_ANALOG": "ai, ao, rtd, tc"}
ROW = re.compile(r"\bA\((\w+), (\w+), \"(\w+)\", (\d+), (\w+), (\d+), (\w+), (\w+), (\d+), (\d+),\s*\"([^\"]+)\"\)")
MODE = re.compile(r"IO_MODE\((\w+), \"([^\"]+)\", (\w+), (NULL|\"[^\"]+\"), ([-\w.]+), ([-\w.]+), ([-\w.]+), ([-\w.]+), ([-\w.]+)\)")


def joined(path, table):
    """The text of a macro, its lines joined."""
    text = path.read_text()
    return text[text.index(f"#define {table}"):].split("\n\n")[0].replace("\\\n", " ")


def attributes():
    rows = ["| of | attribute | type | may be written | what it is |\n", "|---|---|---|---|---|\n"]
    for kinds, _, name, _, kind, _, _, access, low, high, text in ROW.findall(joined(ATTRIBUTES, "IO_ATTRIBUTE_TABLE")):
        limits = f", {low} to {high}" if low != high else ""
        rows.append(f"| {KINDS[kinds]} | `{name}` | {kind.lower()} | {'yes' + limits if access == 'RW' else 'no'} | {text} |\n")
    return "".join(rows)


def modes():
    rows = ["| mode | of | made for | burn-out (1) below | under range (3) below | over range (2) above |\n", "|---|---|---|---|---|---|\n"]
    for _, text, kind, unit, low, high, broken, under, over in MODE.findall(joined(MODES, "IO_MODE_TABLE")):
        limit = lambda value: "" if "NO_LIMIT" in value else value
        unit = "" if unit == "NULL" else " " + unit.strip('"')
        made = f"{low} to {high}{unit}" if low != high else ""
        rows.append(f"| `{text}` | {kind.lower()} | {made} | {limit(broken)} | {limit(under)} | {limit(over)} |\n")
    return "".join(rows)


def with_tables(page):
    for name, text in (("attributes", attributes()), ("modes", modes())):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        head, rest = page.split(begin)
        page = head + begin + "\n" + text + "\n" + end + rest.split(end)[1]
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
