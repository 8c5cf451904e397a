"""A service of random weights that the tests of this folder share."""

import pytest


@pytest.fixture(scope="session")
def url(serve):
    return serve("--model", "tiny", "--port", "0").wait_ready().url
