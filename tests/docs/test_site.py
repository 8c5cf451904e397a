"""The built site is complete, can be searched, and makes a browser fetch nothing from elsewhere."""

import json
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

# hosts in scripts of the theme, and why no page makes a browser ask them
UNUSED_HOSTS = {
    "unpkg.com": "diagrams in pages (there are none), and browsers without ResizeObserver (older than 2020)",
    "api.github.com": "statistics of `repo_url`, which mkdocs.yml does not set",
}
FETCHED = re.compile(r"<(?:link|script|img|iframe|source|video)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//([^/\"'> ]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_pages_name_no_file_of_another_host(site):
    for page in site.rglob("*.html"):
        assert not FETCHED.findall(page.read_text()), page


def test_styles_name_no_file_of_another_host(site):
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()), style


def test_scripts_fetch_only_what_no_page_asks_for(site):
    for script in site.rglob("*.js"):
        hosts = set(re.findall(r"[\"'`]https?://([\w.-]+)/[^\"'`]*", script.read_text()))
        hosts -= {"www.w3.org"}  # XML namespaces
        assert hosts <= set(UNUSED_HOSTS), script
    for page in site.rglob("*.html"):
        assert "mermaid" not in page.read_text(), page


def test_search_finds_pages(site):
    index = json.loads((site / "search/search_index.json").read_text())
    locations = {entry["location"] for entry in index["docs"] if "IDENTITY_REWARD_MAX_BATCH_TOKENS" in entry["text"]}
    assert any(location.startswith("reference/settings.html") for location in locations)


def test_generators_and_data_are_left_out(site):
    assert not [*site.rglob("*.py")]
    assert not (site / "benchmarks").exists()
