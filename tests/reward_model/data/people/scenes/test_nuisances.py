import numpy as np
import pytest

from reward_model.data.people.scenes.nuisances import COUNT_SHARES, KINDS, Nuisances, sample_nuisances
from reward_model.data.seeding import generator


@pytest.fixture(scope="module")
def frames():
    """Two frames of random rectangles in colour."""
    rng = generator("rectangles")
    frame = np.full((240, 416, 3), 120, np.uint8)
    for _ in range(240):
        y, x = int(rng.integers(220)), int(rng.integers(388))
        frame[y : y + 20, x : x + 28] = rng.integers(0, 256, 3)
    return np.stack([frame, frame[:, ::-1]])


def filmed(frames, **strengths: float) -> np.ndarray:
    return Nuisances("clip", strengths).apply(frames, (0, 7)).astype(np.float64)


def detail(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames, axis=2)).mean())


def test_a_clip_without_nuisances_is_unchanged(frames):
    assert np.array_equal(Nuisances("clip", {}).apply(frames, (0, 7)), frames)
    assert Nuisances("clip", {}).crf(24) == 24


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "compression"])
def test_a_kind_changes_the_pixels_more_at_a_higher_strength(frames, kind):
    weak, strong = (np.abs(filmed(frames, **{kind: s}) - frames).mean() for s in (0.4, 1.0))
    assert 0 < weak <= strong
    assert kind == "grey" or weak < strong


def test_strongest_nuisances_are_those_that_the_table_states(frames):
    assert filmed(frames, exposure=1.0).mean() / frames.mean() == pytest.approx(0.5, abs=0.01)
    red_over_blue = filmed(np.full_like(frames, 100), tint=1.0)[..., [0, 2]].mean((0, 1, 2))
    assert sorted(red_over_blue.round()) == [80, 120]
    assert (filmed(np.full_like(frames, 100), noise=1.0) - 100).std() == pytest.approx(12, abs=0.5)
    grey = filmed(frames, grey=1.0)
    assert np.array_equal(grey[..., 0], grey[..., 1])
    assert np.array_equal(grey[..., 0], grey[..., 2])
    for kind in ("focus", "motion", "resolution"):
        assert detail(filmed(frames, **{kind: 1.0})) < 0.95 * detail(frames)
    assert Nuisances("clip", {"compression": 1.0}).crf(24) == 38
    assert Nuisances("clip", {"compression": 0.1}).crf(40) == 40


def test_a_frame_depends_on_the_clip_and_its_index_alone(frames):
    both = Nuisances("clip", {"noise": 1.0}).apply(frames, (3, 7))
    second = Nuisances("clip", {"noise": 1.0}).apply(frames[1:], (7,))
    assert np.array_equal(both[1], second[0])
    assert not np.array_equal(second, Nuisances("other", {"noise": 1.0}).apply(frames[1:], (7,)))


def test_sampled_nuisances_have_the_stated_shares():
    sampled = [sample_nuisances(generator("sample", n), str(n)).strengths for n in range(2000)]
    counts = np.bincount([len(strengths) for strengths in sampled], minlength=4) / len(sampled)
    assert np.abs(counts - COUNT_SHARES).max() < 0.04
    assert {kind for strengths in sampled for kind in strengths} == set(KINDS)
    assert all(0 < strength <= 1 for strengths in sampled for strength in strengths.values())
