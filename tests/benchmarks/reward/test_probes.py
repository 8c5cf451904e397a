from argparse import Namespace

from benchmarks.reward.probes import measure
from reward_model.data.records import read_pairs, resolve, write_pairs
from tests.reward_model.training.helpers.pairs import make_data


def test_casts_without_a_probe_are_skipped_and_unscored_casts_are_counted(tmp_path):
    jsonl = make_data(tmp_path, ["A", "B", "tie", "A"])
    pairs = read_pairs(jsonl)
    resolve(jsonl, pairs[0].video_a).write_bytes(b"no clip")
    replaced, reordered = measure(Namespace(pairs=jsonl, model=["tiny"]))
    assert replaced.unit == "of 2"
    assert replaced.more == reordered.more == {"casts that can't be scored": 1}
    assert (reordered.ours, reordered.ratio) == (None, None)
    # every cast has all persons: none can provide the image of another person
    all_references = tuple(reference for pair in pairs for reference in pair.references)
    write_pairs(jsonl, [pair.model_copy(update={"references": all_references}) for pair in pairs])
    assert [row.ours for row in measure(Namespace(pairs=jsonl, model=["tiny"]))] == [None, None]
