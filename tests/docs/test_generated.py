"""The generated parts of the pages follow from the code and the evaluations."""

import pytest

from docs.generate import commands
from docs.generate.markdown import plain, table
from docs.generate.pages import DOCS, REGIONS, render


@pytest.mark.parametrize("name", REGIONS)
def test_generated_regions_are_current(name):
    text = (DOCS / name).read_text()
    assert render(name, text) == text, "run: make docs"


def test_a_page_without_its_marks_is_an_error():
    with pytest.raises(ValueError, match=r"docs/reference/errors.md lacks <!-- errors:start -->"):
        render("reference/errors.md", "# Errors\n")


def test_cells_stay_in_their_row():
    assert table(("a", "b"), [("x|y", "two\nlines")]).splitlines()[-1] == r"| x\|y | two lines |"


def test_markup_outside_code_is_escaped():
    assert plain("max_batch of <n> `max_batch`") == r"max\_batch of \<n> `max_batch`"


def test_every_verb_has_its_options():
    options = commands.options()
    assert "--reference" in options["score",]
    assert "--wait" in options["job", "submit"]
    assert "--grpc-port" in options["serve",]
