"""The generated parts of the pages follow from the code and the evaluations."""

import pytest

from docs.generate import commands, configs, warning_table
from docs.generate.markdown import plain, table
from docs.generate.pages import DOCS, REGIONS, render
from identity_reward_client.fields.warnings import WarningCode


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


@pytest.mark.parametrize("kind", configs.KINDS)
def test_every_field_of_a_training_configuration_is_explained(kind):
    rows = configs.fields(kind).splitlines()[2:]
    assert rows
    assert not [row for row in rows if row.endswith("|  |")]


def test_every_warning_is_explained():
    assert list(warning_table.ROWS) == list(WarningCode)
