import json

import numpy as np
import pytest
from PIL import Image

from examples.people_policy.make_prompts import PROMPTS, TRUTH, read_truth, sample_prompt_cast, write_prompts


def test_prompts_name_portraits_that_are_there_and_the_truth_has_their_codes(prompts_folder):
    rows = [json.loads(line) for line in (prompts_folder / PROMPTS).read_text().splitlines()]
    truth = read_truth(prompts_folder / TRUTH)
    assert [row["id"] for row in rows] == list(truth)
    assert [len(row["references"]) for row in rows] == [2, 2, 2, 1]
    for row in rows:
        assert set(row) == {"id", "prompt", "references"}
        assert len(truth[row["id"]]) == len(row["references"])
        assert all(Image.open(prompts_folder / path).size == (256, 256) for path in row["references"])
    assert rows[0]["prompt"].startswith("Two people ")
    assert "The first person is a" in rows[0]["prompt"]
    assert "The second person is a" in rows[0]["prompt"]
    np.testing.assert_allclose(truth[rows[0]["id"]], sample_prompt_cast(3, 0).codes_PC, atol=1e-5)


def test_casts_of_different_seeds_and_numbers_are_different_people():
    codes = np.concatenate([sample_prompt_cast(seed, index).codes_PC for seed in (1, 2) for index in range(8)])
    assert len(np.unique(codes.round(4), axis=0)) == len(codes) == 28


def test_a_folder_is_not_overwritten(prompts_folder):
    with pytest.raises(FileExistsError):
        write_prompts(prompts_folder, 1, 3)
