from identity_reward_client.errors import ScoringFailed
from identity_reward_client.fields.warnings import ScoreWarning
from reward_model.types import Score
from service.scheduling.item_result import ItemResult, SampledVideo


def test_warnings_of_the_scorer_come_before_those_of_the_video():
    still, short = (ScoreWarning(code=code, message="x") for code in ("still_video", "short_clip"))
    video = SampledVideo(8.0, 2, (0, 1), warnings=(short,))
    assert ItemResult(Score(0.5, warnings=(still,)), video).warnings == (still, short)
    assert ItemResult(Score(0.5, warnings=(still,))).warnings == (still,)
    assert ItemResult(error=ScoringFailed("no")).warnings == ()
