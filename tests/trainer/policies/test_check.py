import pytest
import torch
from PIL import Image

from reward_model.training.errors import TrainingError
from trainer.errors import PolicyError
from trainer.policies.check import MAX_ENCODED, check_policy
from trainer.prompts import Prompt


class MeanColour:
    """Conditioning: the mean colour of each reference."""

    def __init__(self, most=2, uses_references=True):
        self.most, self.uses_references = most, uses_references
        self.encoded = []

    def encode(self, prompts):
        [prompt] = prompts
        self.encoded.append(prompt)
        if len(prompt.references) > self.most:
            raise PolicyError(f"it takes {self.most} references")
        colours = [Image.open(path).resize((1, 1)).getpixel((0, 0)) for path in prompt.references]
        return {"colours": torch.tensor([colours if self.uses_references else [[0, 0, 0]]])}

    def latent_shape(self, conditioning):
        return (4,)


@pytest.fixture
def prompt(tmp_path):
    def make(key, *colours, size=(8, 6)):
        paths = []
        for n, colour in enumerate(colours):
            paths.append(tmp_path / f"{key}-{n}.png")
            Image.new("RGB", size, colour).save(paths[-1])
        return Prompt(key, f"{key} waves.", tuple(paths))

    return make


def test_every_number_and_size_of_references_is_encoded_once(prompt):
    prompts = [prompt("a", "red"), prompt("b", "blue"), prompt("c", "red", "blue"), prompt("d", "red", size=(9, 9))]
    check_policy(policy := MeanColour(), prompts)
    assert [encoded.key for encoded in policy.encoded[:3]] == ["a", "c", "d"]


def test_few_of_many_sizes_are_encoded(prompt):
    prompts = [prompt(f"{n}", "red", size=(8, 8 + n)) for n in range(2 * MAX_ENCODED)]
    check_policy(policy := MeanColour(uses_references=True), [*prompts[:1], prompt("x", "blue"), *prompts[1:]])
    assert len(policy.encoded) == MAX_ENCODED + 2


def test_a_prompt_that_the_policy_cannot_use_is_named(prompt):
    with pytest.raises(TrainingError, match="can't use the prompt crowd: it takes 2 references"):
        check_policy(MeanColour(), [prompt("a", "red"), prompt("crowd", "red", "blue", "green")])


def test_a_policy_without_references_is_refused(prompt):
    prompts = [prompt("a", "red"), prompt("c", "red", "blue"), prompt("b", "blue")]
    with pytest.raises(TrainingError, match=r"the policy ignores references: .* a is the same with the images of b"):
        check_policy(MeanColour(uses_references=False), prompts)
    check_policy(MeanColour(uses_references=False), prompts[:1])


def test_a_reference_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(TrainingError, match=r"the reference .*a.jpg is no image"):
        check_policy(MeanColour(), [Prompt("a", "x", (tmp_path / "a.jpg",))])
