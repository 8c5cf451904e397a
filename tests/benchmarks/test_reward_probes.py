from argparse import Namespace

from benchmarks.reward_probes import measure
from reward_model.data.records import read_pairs, resolve, write_pairs
from tests.reward_model.training.helpers.pairs import make_data


def test_casts_that_tell_nothing_are_left_out_and_those_that_fail_are_counted(tmp_path):
    jsonl = make_data(tmp_path, ["A", "B", "tie", "A"])
    pairs = read_pairs(jsonl)
    resolve(jsonl, pairs[0].video_a).write_bytes(b"no clip")
    lowers, order = measure(Namespace(pairs=jsonl, model=["tiny"]))
    assert lowers.unit == "of 2"
    assert lowers.more == order.more == {"casts that can't be scored": 1}
    assert (order.ours, order.ratio) == (None, None)
    # nobody is a stranger to anybody
    everybody = tuple(reference for pair in pairs for reference in pair.references)
    write_pairs(jsonl, [pair.model_copy(update={"references": everybody}) for pair in pairs])
    assert [row.ours for row in measure(Namespace(pairs=jsonl, model=["tiny"]))] == [None, None]
