from reward_model.data.records import read_pairs, write_pairs
from reward_model.training.configs.files import read_config
from reward_model.training.data.casts import persons_of
from reward_model.training.preferences.run_data import RunData
from tests.reward_model.training.helpers.pairs import make_data


def test_foreign_references_share_no_person_with_the_cast(media, tmp_path):
    jsonl = make_data(tmp_path, ["A", "A", "A"])
    first, second, third = read_pairs(jsonl)
    shared = second.model_copy(
        update={"references": (*first.references, *second.references), "meta": {"cluster": "another"}}
    )
    settings = ["data.groups=true", "batch=3", "micro_batch=3", "steps=4", f"data.clean={jsonl}"]
    write_pairs(jsonl, [first, shared])
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=1"]), True)
    assert all(len(group.sequences) == 2 for groups in data.steps(media, 0, 0, 1) for group in groups)
    write_pairs(jsonl, [first, shared, third])
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=1"]), True)
    samples = [sample for step in range(4) for sample in data.sampler.samples(step)]
    others = [(data.units[sample.pool][sample.index], data._unit_of_others(sample)) for sample in samples]
    assert all(persons_of(cast).isdisjoint(persons_of(other)) for cast, other in others)
    assert len({other[0].pair_id for _, other in others}) == 3


def test_weight_is_the_number_of_loaded_comparisons(media, casts):
    """The sum of losses is divided by `weight`, so it must equal the number of loaded comparisons."""
    settings = ["data.groups=true", "batch=2", "micro_batch=2", "steps=6", f"data.clean={casts}"]
    for foreign in (0, 2):
        data = RunData(read_config("smoke", [*settings, f"data.foreign_references={foreign}"]), True)
        for step, groups in enumerate(data.steps(media, 0, 0, 1)):
            assert data.weight(step) == sum(len(group.comparisons) for group in groups) == 3 + 2 * foreign


def test_single_cast_has_no_foreign_references(media, tmp_path):
    jsonl = make_data(tmp_path, ["A"])
    settings = ["data.groups=true", "batch=1", "micro_batch=1", "steps=2", f"data.clean={jsonl}"]
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=2"]), True)
    assert [len(groups[0].sequences) for groups in data.steps(media, 0, 0, 1)] == [2, 2]
