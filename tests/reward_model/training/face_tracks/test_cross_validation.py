import json

import pytest

from identity_reward_client.preference import Preference
from reward_model.data.records import Reference, write_pairs
from reward_model.training.configs.files import config_yaml
from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.cross_validation import cross_validate, main
from tests.reward_model.training.helpers.face_tracks import RecordingProgress, record


@pytest.mark.slow
def test_each_person_is_held_out_of_the_ensemble_that_scores_them(examples, config):
    single = {
        "bea": ("two_people", "two_strangers"),
        "carl": ("two_people_evening", "two_people_one_missing"),
        "anna": ("one_person", "one_person_replaced"),
    }
    pairs = [
        record(person, Preference.A, videos=tuple(f"clips/{name}.mp4" for name in clips), people=[person]).model_copy(
            update={"references": (Reference(path=f"references/{person}.jpg", person=person),)}
        )
        for person, clips in single.items()
    ]
    write_pairs(examples / "people.jsonl", pairs)
    fold_config = config.model_copy(update={"train": (), "dev": (), "epochs": 5})
    result = cross_validate(fold_config, examples / "people.jsonl", 3, RecordingProgress())
    evaluation = result.evaluation
    assert sum(part.count for part in result.spread.by_probability) == 3
    assert [report.label for report in evaluation.reports] == [
        "face-tracks", "arcface", "arcface-minimum", "arcface-best-frame",
    ]  # fmt: skip
    assert {pair.pair_id for pair in evaluation.pairs} == set(single)
    assert all(report.num_scored == 3 for report in evaluation.reports)
    assert sorted(pair.cluster for pair in evaluation.pairs) == ["fold 0", "fold 1", "fold 2"]
    assert evaluation.reports[1].overall["accuracy_without_ties"].mean == 1
    (examples / "folds.yaml").write_text(config_yaml(fold_config))
    plot = examples / "spread.png"
    main(examples / "people.jsonl", str(examples / "folds.yaml"), None, 3, examples / "values.json", spread_plot=plot)
    assert plot.is_file()
    values = json.loads((examples / "values.json").read_text())
    assert (values["clusters"], values["num_clusters"]) == ("folds of people", 3)
    assert values["spread"]["scale"] > 0
    both = [pair.model_copy(update={"meta": {"people": ["anna", "bea", "carl"]}}) for pair in pairs]
    write_pairs(examples / "everybody.jsonl", both)
    with pytest.raises(TrainingError, match="none of 2 folds"):
        cross_validate(fold_config, examples / "everybody.jsonl", 2, RecordingProgress())
