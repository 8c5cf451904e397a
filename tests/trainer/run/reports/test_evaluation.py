import json

import numpy as np
import pytest
from PIL import Image

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import ScoringFailed
from tests.support.paths import EXAMPLES
from trainer.configs.measurement import EvaluationConfig
from trainer.prompts import Prompt
from trainer.rewards import RemoteReward, RewardSource
from trainer.run.reports.evaluation import PromptEvaluation
from trainer.run.reports.tracking import Trackers

ANNA = EXAMPLES / "references/anna.jpg"
PROMPTS = [Prompt(f"p{n}", f"Anna waves {n} times.", (ANNA,)) for n in range(4)]


class Sampler:
    """Clips whose reward under the fake service is their brightness."""

    def __init__(self, gain=0):
        self.gain, self.calls = gain, []

    def __call__(self, prompt, count):
        self.calls.append((prompt.key, count))
        level = 40 + 10 * int(prompt.key[1:]) + self.gain
        return [np.full((4, 36, 64, 3), level + g, np.uint8) for g in range(count)]


def evaluation(out, *, videos=2, sheet_prompts=2, sources=None, **faults):
    def open_reward():
        return RemoteReward(sources or RewardSource("identity", FakeRewardClient(**faults)))

    config = EvaluationConfig(videos=videos, sheet_prompts=sheet_prompts)
    return PromptEvaluation(PROMPTS, config, open_reward, lambda: 8.0, out, Trackers((), out, {}))


def test_the_first_evaluation_has_means_and_later_ones_compare(tmp_path):
    measured = evaluation(tmp_path)
    first = measured.measure(0, "trained", Sampler())
    assert first == {"missing": 0, "reward": pytest.approx(55.5 / 255)}
    later = measured.measure(10, "trained", Sampler(gain=51))
    assert later["difference"] == pytest.approx(0.2)
    assert (later["low"], later["high"]) == pytest.approx((0.2, 0.2))
    assert later["win_share"] == 1.0
    assert 0.5 < later["win_probability"] < 0.6


def test_every_video_is_written_and_a_resumed_run_compares_with_the_file(tmp_path):
    evaluation(tmp_path).measure(0, "trained", Sampler())
    later = evaluation(tmp_path).measure(10, "ema", Sampler(gain=51))
    assert later["difference"] == pytest.approx(0.2)
    content = json.loads((tmp_path / "evaluations/step-00000010.ema.json").read_text())
    assert content["prompts"] == ["p0", "p1", "p2", "p3"]
    assert len(content["rewards"]["reward"]) == 8
    assert content["against_first"]["reward"]["count"] == 8


def test_an_evaluation_of_other_prompts_is_not_compared(tmp_path, caplog):
    evaluation(tmp_path, videos=1).measure(0, "trained", Sampler())
    assert "difference" not in evaluation(tmp_path).measure(10, "trained", Sampler(gain=51))
    assert "of other prompts" in caplog.text


def test_missing_rewards_count_in_no_mean(tmp_path, caplog):
    measured = evaluation(tmp_path, fail={0: ScoringFailed("no")})
    first = measured.measure(0, "trained", Sampler())
    assert first == {"missing": 4, "reward": pytest.approx(56 / 255)}
    assert "4 rewards are missing with scoring_failed" in caplog.text
    content = json.loads((tmp_path / "evaluations/step-00000000.trained.json").read_text())
    assert content["rewards"]["reward"][:2] == [None, pytest.approx(41 / 255)]


def test_no_reward_at_all_is_no_number(tmp_path):
    measured = evaluation(tmp_path, fail={0: ScoringFailed("no"), 1: ScoringFailed("no")})
    assert measured.measure(0, "trained", Sampler()) == {"missing": 8}


def test_each_of_several_sources_is_compared(tmp_path):
    sources = [
        RewardSource("identity", FakeRewardClient),
        RewardSource("constant", lambda: FakeRewardClient(reward=lambda references, video, prompt: 1.0), weight=0.0),
    ]
    measured = evaluation(tmp_path, sources=sources)
    measured.measure(0, "trained", Sampler())
    later = measured.measure(10, "trained", Sampler(gain=51))
    assert (later["identity_difference"], later["constant_difference"]) == pytest.approx((0.2, 0.0))
    assert later["constant_win_share"] == 0.5


def test_sheets_show_clips_beside_those_of_the_first_evaluation(tmp_path):
    measured = evaluation(tmp_path)
    measured.measure(0, "trained", Sampler())
    measured.measure(10, "ema", Sampler(gain=90))
    with Image.open(tmp_path / "evaluations/step-00000010.ema.png") as opened:
        sheet = np.asarray(opened)
    for level in (40, 130, 50, 140):
        assert (sheet == level).all(-1).sum() > 4 * 100 * 60, "four frames before and after, of two prompts"
    assert not (sheet == 60).all(-1).sum() > 1000, "the third prompt is on no sheet"


def test_no_sheet_where_none_is_asked_for(tmp_path):
    evaluation(tmp_path, sheet_prompts=0).measure(0, "trained", Sampler())
    assert [path.suffix for path in (tmp_path / "evaluations").iterdir()] == [".json"]
