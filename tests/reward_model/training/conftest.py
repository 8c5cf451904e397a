import pytest
import torch

from tests.reward_model.training.pairs import make_data


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
