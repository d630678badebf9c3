"""The tables of docs/configuration.md, from the schema that `lineside check --schema` prints.

    /usr/bin/python3 tests/config_docs.py build/lineside    writes them into the page
"""

import json
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
LATER = " (not in this version)"


def allowed(key):
    """What a key takes, in a few words."""
    if "enum" in key:
        return ", ".join(f"`{word}`" for word in key["enum"])
    if "anyOf" in key:
        return "time" if any("ms" in kind.get("pattern", "") for kind in key["anyOf"]) else "size"
    if key.get("items", {}).get("type") == "string":
        return "list of texts"
    if "anyOf" in key.get("items", {}):
        return "list of texts or maps"
    if key["type"] == ["number", "string"]:
        return "number or text"
    if key["type"] == ["boolean", "number", "string"]:
        return "`true`, `false`, number or text"
    if key["type"] == "array" and key["items"].get("type") == "number":
        return f"list of {key['minItems']} numbers"
    if "patternProperties" in key:
        return "map of numbers to texts"
    kind = {"object": "map", "array": "list of maps", "string": "text", "boolean": "`true`, `false`"}.get(key["type"], key["type"])
    if "minimum" in key:
        return f"{kind}, {key['minimum']:g}..{key['maximum']:g}" if key["maximum"] < 1e300 else f"{kind}, from {key['minimum']:g}"
    return kind


def maps_of(path, schema):
    """(path, schema) of this map and all below it, in order."""
    yield path, schema
    for name, key in schema["properties"].items():
        below = key.get("items", key)
        below = next((kind for kind in below.get("anyOf", []) if "properties" in kind), below)
        if below.get("properties"):
            yield from maps_of((path + "." if path else "") + name + ("[]" if "items" in key else ""), below)


def table(path, schema):
    rows = [f"### `{path}`\n\n" if path else "### The file\n\n", "| key | takes | default | meaning |\n", "|---|---|---|---|\n"]
    required = set(schema.get("required", []))
    for name, key in schema["properties"].items():
        if "not" in key:
            continue
        text, _, unset = key["description"].partition("; not set: ")
        default = "needed" if name in required else f"`{json.dumps(key['default']).strip(chr(34))}`" if "default" in key else unset
        rows.append(f"| `{name}` | {allowed(key)} | {default} | {text} |\n")
    conditions = []
    for rule in schema.get("allOf", []):
        (selector, value), = rule["if"]["properties"].items()
        without, needs = rule["then"]["properties"], rule["then"].get("required", [])
        if without:
            conditions.append(f"`{selector}: {value['const']}` has no {', '.join(f'`{k}`' for k in without)}.")
        if needs:
            conditions.append(f"`{selector}: {value['const']}` needs {', '.join(f'`{k}`' for k in needs)}.")
    later = [f"`{name}`" for name, key in schema["properties"].items() if "not" in key]
    if later:
        conditions.append(f"Not in this version, and refused: {', '.join(later)}.")
    return "".join(rows) + "\n" + ("".join(line + "\n\n" for line in conditions))


def tables(lineside):
    schema = json.loads(subprocess.run([lineside, "check", "--schema"], capture_output=True, check=True, timeout=10).stdout)
    return "".join(table(path, below) for path, below in maps_of("", schema))


def split(page):
    head, rest = page.split(BEGIN)
    return head, *rest.split(END)


if __name__ == "__main__":
    before, _, after = split(PAGE.read_text())
    PAGE.write_text(before + BEGIN + "\n" + tables(sys.argv[1]) + END + after)
