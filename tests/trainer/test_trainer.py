"""GRPO learns: 20 updates raise the exact reward of the toy policy on people that it was not trained on."""

import numpy as np
import pytest

from tests.trainer.helpers.runs import run, values_of
from tests.trainer.helpers.toy_policy import exact_reward, make_prompts
from identity_reward_client.inputs.media import to_references
from identity_reward_client.inputs.tensors import to_pixels

SETTINGS = {
    "steps": 20, "group_size": 8, "groups_per_update": 16, "micro_batch": 8, "sampling__batch": 8,
    "sampling__num_steps": 8, "evaluation_sampling__num_steps": 8, "adapter__rank": 32, "adapter__alpha": 32,
    "save_every": 20, "evaluate_every": 20,
}  # fmt: skip
