import pytest

from reward_model.data.people.dataset.generate import generate
from reward_model.data.people.scenarios.options import PackedOptions, PeopleOptions


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Four rendered casts as packed clips: three to train on, one for dev."""
    out = tmp_path_factory.mktemp("people") / "data"
    packed = PackedOptions(num_frames=8, height=56, width=84)
    generate(out, PeopleOptions(pairs=24, seed=5, packed=packed, splits={"train": 0.75, "dev": 0.25}), workers=2)
    return out
