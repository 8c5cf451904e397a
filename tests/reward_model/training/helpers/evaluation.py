"""Pairs and predictions for tests of evaluation."""

from reward_model.data.records import PreferencePair, Reference
from reward_model.training.evaluation.predictions import Prediction, VideoScore
from tests.reward_model.training.helpers.pairs import LABELS


def labelled_pairs(labels, modes, clusters):
    reference = (Reference(path="r.png", person="p"),)
    return [
        PreferencePair(
            pair_id=str(i), prompt="", references=reference, video_a="a", video_b="b", label=label,
            votes=LABELS[label], source="construction", split="test", meta={"mode": mode, "cluster": cluster},
        )
        for i, (label, mode, cluster) in enumerate(zip(labels, modes, clusters, strict=True))
    ]  # fmt: skip


def predictions_of(differences):
    return [
        Prediction(str(i), VideoScore(None, "invalid_media", "") if d is None else VideoScore(d), VideoScore(0.0))
        for i, d in enumerate(differences)
    ]
