import re

import pytest

from service.http.docs_page import render_page
from service.http.routes import ROUTES, openapi_document

PAGE = render_page(openapi_document())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_page_shows_every_route(route):
    assert f'<span class="path">{route.path}</span><span class="note">{route.summary}</span>' in PAGE


def test_the_page_links_only_to_itself():
    anchors = set(re.findall(r'id="([^"]+)"', PAGE))
    links = set(re.findall(r'href="([^"]+)"', PAGE))
    assert {link.removeprefix("#") for link in links - {"/openapi.json"}} <= anchors
    assert "<script" not in PAGE


def test_a_link_to_a_folded_section_opens_it():
    targets = re.findall(r'href="#(\w+)"', PAGE)
    assert targets
    for target in set(targets):
        assert f'</summary><div id="{target}">' in PAGE


def test_the_page_lists_error_codes():
    for code in ("missing_fps", "overloaded", "reference_set_not_found"):
        assert f"<code>{code}</code>" in PAGE
