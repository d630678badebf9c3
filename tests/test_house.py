"""Small rules of the house that are easy to forget."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_each_folder_with_a_table_has_a_short_readme():
    for table in (ROOT / "src").glob("*/table.c"):
        readme = table.parent / "README.md"
        assert readme.is_file(), f"{readme.relative_to(ROOT)} is missing"
        assert len(readme.read_text().splitlines()) <= 15, f"{readme.relative_to(ROOT)} has more than 15 lines"


def test_no_source_file_is_longer_than_800_lines():
    long = [str(f.relative_to(ROOT)) for f in (ROOT / "src").rglob("*.[ch]") if f.read_text().count("\n") > 800]
    assert long == []


def test_every_decision_is_in_the_index_and_numbered_in_order():
    folder = ROOT / "docs" / "decisions"
    records = sorted(p.name for p in folder.glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d[^)]*\.md)\)", (folder / "README.md").read_text()) == records
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
