"""What the pages say of code is generated from it, and what they tell a reader to open is there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


def test_the_tables_of_pages_are_those_of_code_and_evaluations():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs/tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for name in tables.PAGES:
        text = (ROOT / "docs" / name).read_text()
        assert tables.page(name, text) == text, "run: python docs/tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    if page.parent == ROOT:
        for name in re.findall(r"\b(?:examples|docs|clients|kernels)/[\w./-]+\.\w+", text):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_readme_shows_how_to_start_on_its_first_screen():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:45])
    for needed in ("make demo", "make test", "curl", "HttpRewardClient"):
        assert needed in first
