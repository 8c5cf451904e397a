import pytest

from reward_model.data.people.scenarios.options import (
    PeopleError,
    PeopleOptions,
    assign_by_shares,
    parse_size,
    parse_splits,
)
from reward_model.data.people.scenarios.scenario import ClipSize


def test_assignment_meets_the_shares_and_extends_shorter_ones():
    order = assign_by_shares({"train": 0.8, "dev": 0.1, "test": 0.1}, 200)
    assert [order.count(name) for name in ("train", "dev", "test")] == [160, 20, 20]
    assert set(order[:7]) == {"train", "dev", "test"}
    assert assign_by_shares({"train": 0.8, "dev": 0.1, "test": 0.1}, 50) == order[:50]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, "at least one pair"),
        ({"splits": {"train": 0.5, "test": 0.6}}, "sum to 1"),
        ({"splits": {"train": 1.1, "test": -0.1}}, "positive shares"),
        ({"size": ClipSize(width=415)}, "even sides"),
        ({"size": ClipSize(num_frames=1)}, "two frames"),
        ({"clips_per_scenario": 2}, "three clips"),
    ],
)
def test_invalid_options_are_refused_with_the_reason(options, message):
    with pytest.raises(PeopleError, match=message):
        PeopleOptions(**{"pairs": 5, "seed": 0, **options})


def test_splits_and_sizes_are_parsed():
    assert parse_splits("train=0.8, test=0.2") == {"train": 0.8, "test": 0.2}
    assert parse_size("140x252", "--packed-size") == (140, 252)
    for text in ("train", "train=x", "=1", "train=nan"):
        with pytest.raises(PeopleError, match="NAME=SHARE"):
            parse_splits(text)
    for text in ("140", "140x", "0x252", "ax252", "1x2x3"):
        with pytest.raises(PeopleError, match="two sides"):
            parse_size(text, "--size")
