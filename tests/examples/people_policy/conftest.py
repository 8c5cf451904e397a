"""A small cast with portraits on disk, and a policy with untrained weights."""

import pytest
import torch

from examples.people_policy.make_prompts import PROMPTS, sample_prompt_cast, write_prompts
from examples.people_policy.network import PeopleTransformer, PortraitEncoder
from examples.people_policy.policy import PeoplePolicy
from trainer.prompts import Prompt


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def prompts_folder(tmp_path_factory):
    """Four casts of seed 3; the last one is one person."""
    folder = tmp_path_factory.mktemp("people_prompts")
    write_prompts(folder, 4, 3)
    assert (folder / PROMPTS).is_file()
    return folder


@pytest.fixture(scope="session")
def prompts(prompts_folder):
    casts = [sample_prompt_cast(3, n) for n in range(4)]
    return [
        Prompt(
            cast.key,
            cast.text,
            tuple(prompts_folder / f"references/{cast.key}{letter}.png" for letter in "ab"[: len(cast.codes_PC)]),
        )
        for cast in casts
    ]


@pytest.fixture
def untrained_policy():
    torch.manual_seed(0)
    policy = PeoplePolicy(PeopleTransformer(), PortraitEncoder(), render_workers=1)
    yield policy
    policy.close()
