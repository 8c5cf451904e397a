import numpy as np
from PIL import Image

from tests.support.paths import EXAMPLES
from trainer.configs.measurement import TrackingConfig
from trainer.prompts import Prompt
from trainer.run.reports.tracking import Trackers
from trainer.run.reports.training_sheets import TrainingSheets, caption
from trainer.types import ScoredGroup


def group(key, *rewards, **components):
    clips = [np.full((4, 36, 64, 3), 20 * n, np.uint8) for n in range(len(rewards))]
    prompt = Prompt(key, "Anna waves.", (EXAMPLES / "references/anna.jpg",))
    rewards_G = np.array(rewards)
    return ScoredGroup(prompt, clips, 8.0, rewards_G, {"identity": rewards_G, **components})


def test_the_first_groups_of_every_few_steps_are_drawn(tmp_path):
    config = TrackingConfig(trackers=(), draw_every=2, contact_sheet_groups=1)
    sheets = TrainingSheets(tmp_path, config, Trackers((), tmp_path, {}))
    for number in range(5):
        for key in ("a", "b"):
            assert sheets.measure(group(key, 0.5, 0.75)) == {}
        assert sheets.check(number, {"reward": 0.6}) is None
    paths = sorted((tmp_path / "contact_sheets").iterdir())
    assert [path.name for path in paths] == ["step-00000002.png", "step-00000004.png"]
    with Image.open(paths[0]) as one:
        single = one.size
    both = TrainingSheets(tmp_path / "both", TrackingConfig(draw_every=1, contact_sheet_groups=2),
                          Trackers((), tmp_path, {}))  # fmt: skip
    for key in ("a", "b"):
        both.measure(group(key, 0.5, 0.75))
    both.check(0, {})
    with Image.open(tmp_path / "both/contact_sheets/step-00000001.png") as two:
        assert two.height > 1.8 * single[1]


def test_none_are_drawn_where_none_are_asked_for(tmp_path):
    sheets = TrainingSheets(tmp_path, TrackingConfig(draw_every=0), Trackers((), tmp_path, {}))
    sheets.measure(group("a", 0.5))
    sheets.check(9, {})
    assert not (tmp_path / "contact_sheets").exists()


def test_captions_have_components_and_say_what_is_missing():
    assert caption(group("a", 0.5), 0) == "reward 0.500"
    several = group("a", np.nan, 1.5, 2.5, arcface=np.array([0.25, np.nan, 0.5]))
    assert caption(several, 0) == "no reward, arcface 0.250"
    assert caption(several, 1) == "reward 1.500"
    assert caption(several, 2) == "reward 2.500, arcface 0.500"
