"""What the pages under docs/ say can be done as they say it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from rack_docs import PAGE, attributes, modes, with_tables

DOCS = Path(__file__).resolve().parent.parent / "docs"
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
WITH_YAML = [page for page in sorted(DOCS.glob("*.md")) if YAML.search(page.read_text())]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", WITH_YAML, ids=lambda page: page.name)
def test_the_examples_of_a_page_are_a_configuration_without_faults(page, lineside, tmp_path):
    # A page begins with a whole file; what follows goes on with its last list.
    example = tmp_path / "example.yaml"
    example.write_text("".join(YAML.findall(page.read_text())))
    done = subprocess.run([lineside, "check", "-c", example], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_type_of_line_has_a_page(lineside):
    schema = subprocess.run([lineside, "check", "--schema"], capture_output=True, text=True, timeout=10).stdout
    line = json.loads(schema)["properties"]["lines"]["items"]["properties"]
    assert [t for t in line["type"]["enum"] if not (DOCS / f"{t}.md").is_file()] == []


def test_every_link_between_pages_leads_somewhere():
    root = DOCS.parent
    pages = [*root.glob("*.md"), *DOCS.rglob("*.md")]
    broken = [f"{page.relative_to(root)}: {to}" for page in pages for to in LINK.findall(page.read_text())
              if not (page.parent / to).exists()]
    assert broken == []


def test_the_tables_of_racks_are_those_of_the_program():
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "/usr/bin/python3 tests/rack_docs.py"
    assert len(attributes().splitlines()) > 20 and len(modes().splitlines()) > 20
