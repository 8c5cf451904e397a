import pytest
import torch

from reward_model.data.people.dataset.generate import generate
from reward_model.data.people.scenarios.options import PackedOptions, PeopleOptions
from reward_model.data.records import read_pairs, write_pairs
from tests.reward_model.training.helpers.lora import adapted_model
from tests.reward_model.training.helpers.pairs import make_data


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def four_pairs(tmp_path_factory):
    """A data set's folder of four training pairs and six others."""
    folder = tmp_path_factory.mktemp("pairs")
    make_data(folder, ["A", "B", "tie", "A"])
    make_data(folder, ["A", "B", "tie", "B", "A", "A"], "dev.jsonl", seed=1)
    return folder


@pytest.fixture
def five_pairs(tmp_path):
    """A JSONL of five pairs, which a test may change."""
    return make_data(tmp_path / "data", ["A", "B", "tie", "A", "B"])


@pytest.fixture(scope="module")
def casts(tmp_path_factory):
    """Two casts: the first has two pairs of three videos, the second has one pair."""
    jsonl = make_data(tmp_path_factory.mktemp("casts"), ["A", "A", "A"])
    first, second, other = read_pairs(jsonl)
    shared = first.model_copy(update={"pair_id": "again", "video_b": second.video_b})
    write_pairs(jsonl, [first, shared, other])
    return jsonl


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Four rendered casts as packed clips: three to train on, one for dev."""
    out = tmp_path_factory.mktemp("people") / "data"
    packed = PackedOptions(num_frames=8, height=56, width=84)
    generate(out, PeopleOptions(pairs=24, seed=5, packed=packed, splits={"train": 0.75, "dev": 0.25}), workers=2)
    return out


@pytest.fixture
def adapted():
    """A model with random LoRA matrices, and the id of its reward token."""
    return adapted_model()
