"""The price of a sample equals the length of its preprocessed sequence."""

import numpy as np
import pytest

from reward_model.qwen.pricing import image_tokens
from reward_model.qwen.tiny import SAMPLING, load
from reward_model.types import ReferenceSet, Sample, Video


@pytest.fixture(scope="module")
def scorer():
    return load()


def grey(*shape):
    return np.full((*shape, 3), 128, np.uint8)


@pytest.mark.parametrize("references", [[(64, 64)], [(300, 200), (1000, 640)], [(28, 28)] * 3])
@pytest.mark.parametrize(("frames", "size"), [(4, (240, 416)), (4, (64, 1000)), (3, (20, 20))])
@pytest.mark.parametrize("prompt", [None, "two people walk through a park"])
def test_price_is_the_length_of_the_sequence(scorer, references, frames, size, prompt):
    video = Video(grey(frames, *size), 8.0, 33, tuple(range(frames)))
    sample = Sample(ReferenceSet(tuple(grey(*shape) for shape in references)), video, prompt)
    price = scorer.price(references, frames, size, prompt)
    assert price.shared + price.own == len(scorer.preprocess(sample))
    assert min(price.shared, price.own) >= 0


def test_unknown_size_counts_as_the_largest(scorer):
    large = scorer.price([(5000, 5000)], 4, (5000, 5000), None)
    unknown = scorer.price([None], 4, None, None)
    assert unknown.shared >= large.shared
    assert unknown.own >= large.own
    assert image_tokens(None, SAMPLING.reference_pixels) == SAMPLING.reference_pixels.max_pixels // 784


def test_image_that_cannot_be_resized_has_a_price(scorer):
    assert scorer.price([(1, 5000)], 4, (1, 5000), None).own > 0
