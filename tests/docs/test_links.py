"""Links and anchors of the pages resolve, and the files and settings that pages name exist."""

import re

import pytest

from service.settings.settings import Settings
from tests.docs.blocks import PAGES, anchors, links, name_of
from tests.support.paths import ROOT

NAMED_PATH = re.compile(
    r"`((?:examples|docs|clients|kernels|service|reward_model|trainer|deploy|tests|benchmarks)/[\w./-]+)`"
)
# read by others than the server
OTHER_VARIABLES = {"IDENTITY_REWARD_TOKEN", "IDENTITY_REWARD_MODEL", "IDENTITY_REWARD_MODELS_DIR"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_anchors_resolve(page):
    for target, anchor in links(page):
        path = page.parent / target if target else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{name_of(page)} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page):
    for name in NAMED_PATH.findall(page.read_text()):
        if "NAME" not in name:
            assert (ROOT / name).exists(), f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_settings_exist(page):
    for name in re.findall(r"\bIDENTITY_REWARD_[A-Z_]+[A-Z]\b", page.read_text()):
        assert name in Settings.variables() or name in OTHER_VARIABLES, f"{name_of(page)} names {name}"


def test_every_page_is_reachable_from_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in navigation


def test_the_readme_shows_how_to_start_on_its_first_screen():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:45])
    for needed in ("make demo", "make test", "curl", "HttpRewardClient"):
        assert needed in first
