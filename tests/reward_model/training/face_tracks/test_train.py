"""Training of face-tracks: on made-up features, and from the files of example clips to a scorer that ranks them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.preference import Preference
from reward_model.data.packed_clip import write_packed
from reward_model.data.records import PreferencePair, RecordError, Reference, Votes, read_pairs, write_pairs
from reward_model.decoding.decoders import decode_frames, probe
from reward_model.faces.face_tracks import load_folder
from reward_model.faces.frame_sampling import FACE_TRACKS
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, ClipFeatures
from reward_model.faces.tracks.reward_head import FeatureBatch, read_head_config
from reward_model.training.cli import train_reward
from reward_model.training.config_file import config_yaml, read_config
from reward_model.training.errors import Interrupted, TrainingError
from reward_model.training.face_tracks.augment import augment
from reward_model.training.face_tracks.config import FaceTracksConfig, TrackAugmentation, TrackPairs
from reward_model.training.face_tracks.cross_validation import cross_validate, main
from reward_model.training.face_tracks.extract import clips_of, extract, in_processes, read_clip
from reward_model.training.face_tracks.run import train_face_tracks
from reward_model.training.face_tracks.train import TrackDataset, load_splits, split_by_people, train_heads
from reward_model.training.loop.journal import read_metrics
from reward_model.types import Video

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
SIMILARITY = list(FRAME_FEATURES).index("similarity")


class Told:
    """Remembers what was to be done."""

    def __init__(self):
        self.work: dict[str, int] = {}

    @contextmanager
    def __call__(self, what: str, total: int):
        self.work[what] = self.work.get(what, 0) + total
        yield self

    def begin(self, done: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


def record(pair_id: str, label: Preference, persons=("a",), videos=("a.mp4", "b.mp4"), **meta) -> PreferencePair:
    votes = Votes(**{label.value: 3})
    references = tuple(Reference(path=f"{person}.jpg", person=person) for person in persons)
    return PreferencePair(
        pair_id=pair_id, prompt="", references=references, video_a=videos[0], video_b=videos[1], label=label,
        votes=votes, source="construction", split="train", meta=meta,
    )  # fmt: skip


def made_up(num_pairs: int, seed: int) -> TrackDataset:
    """The better clip has the higher similarity in its worst frame; all else is noise."""
    draw = np.random.Generator(np.random.Philox(seed))
    pairs, labels, a_N, b_N = [], [], [], []
    for n in range(num_pairs):
        label = int(draw.choice([1, 0, -1]))
        sides = []
        for side in (1, -1):
            frames = draw.normal(0, 0.3, (2, 8, len(FRAME_FEATURES))).astype(np.float32)
            frames[..., SIMILARITY] = 0.7 + 0.02 * draw.standard_normal((2, 8))
            if label == -side:
                frames[draw.integers(2), draw.integers(8), SIMILARITY] = 0.1
            frames[..., 0] = 1
            sides.append(ClipFeatures(frames, draw.normal(size=(2, len(PERSON_FEATURES))).astype(np.float32)))
        pairs.append(record(str(n), {1: Preference.A, 0: Preference.TIE, -1: Preference.B}[label], (f"p{n % 40}",)))
        labels.append(label)
        a_N.append(sides[0])
        b_N.append(sides[1])
    batches = FeatureBatch.of(a_N), FeatureBatch.of(b_N)
    return TrackDataset(tuple(pairs), *batches, torch.tensor(labels), torch.ones(num_pairs), 0)


SMALL = FaceTracksConfig(members=2, epochs=12, hidden=12, person_width=8, batch=64, learning_rate=5e-3)


def test_heads_learn_what_one_bad_frame_of_one_person_means():
    head, lines = train_heads(SMALL, made_up(300, 1), made_up(100, 2), Told())
    dev = head.config.training["dev"]
    assert dev["accuracy_without_ties"] > 0.9
    assert dev["accuracy_with_ties"] > 0.75
    assert {line.member for line in lines} == {0, 1}
    assert head.config.num_members == 2


def test_a_seed_gives_one_head_and_leaves_the_process_s_draws_alone():
    train, dev = split_by_people(made_up(120, 3), 0.2, 0)
    config = SMALL.model_copy(update={"epochs": 2})
    state = torch.random.get_rng_state()
    heads = [train_heads(one, train, dev, Told())[0] for one in (config, config, config.model_copy(update={"seed": 1}))]
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [torch.cat([p.flatten() for p in head.parameters()]) for head in heads]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_no_cast_is_in_both_parts_of_a_split():
    train, dev = split_by_people(made_up(120, 3), 0.2, 0)
    assert len(train) + len(dev) == 120
    assert 12 <= len(dev) <= 36
    assert not {pair.cluster for pair in train.pairs} & {pair.cluster for pair in dev.pairs}


def test_a_loss_that_is_not_finite_ends_in_a_message():
    data = made_up(64, 4)
    broken = TrackDataset(data.pairs, data.a, data.b, data.label_N, torch.full((64,), torch.inf), 0)
    with pytest.raises(TrainingError, match="the loss is nan in epoch 1 of head 1"):
        train_heads(SMALL, broken, data, Told())


def test_augmentation_keeps_four_frames_and_changes_both_clips_alike():
    data = made_up(32, 5)
    a = data.a
    a2, b2 = augment(a, a, TrackAugmentation(similarity_noise=0, frame_dropout=1), torch.Generator().manual_seed(0))
    seen = ~a2.frames_NPTF.isnan().all(-1)
    assert (seen.any(1).sum(-1) >= 4).all()
    assert (seen.any(1).sum(-1) < 8).any()
    shifts = [(x.frames_NPTF - a.frames_NPTF)[..., SIMILARITY].nanmean((1, 2)) for x in (a2, b2)]
    torch.testing.assert_close(shifts[0], shifts[1])
    same, _ = augment(
        a, a,
        TrackAugmentation(frame_dropout=0, similarity_shift=0, similarity_noise=0, sharpness_shift=0, size_shift=0,
                          motion_scale=0, group_dropout=0),
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    torch.testing.assert_close(same.frames_NPTF, a.frames_NPTF, equal_nan=True)


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """Pairs of the example clips: kept against lost, and a tie of two clips that keep their people."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("clips", "references"):
        (folder / name).symlink_to(EXAMPLES / name)

    def pair(number, people, a, b, label):
        references = tuple(Reference(path=f"references/{person}.jpg", person=person) for person in people)
        videos = tuple(f"clips/{name}.mp4" for name in (a, b))
        return record(str(number), label, videos=videos).model_copy(update={"references": references})

    both, anna = ("bea", "carl"), ("anna",)
    pairs = [
        pair(0, both, "two_people", "two_people_one_missing", Preference.A),
        pair(1, both, "two_people_one_missing", "two_people_evening", Preference.B),
        pair(2, both, "two_people_evening", "two_people", Preference.TIE),
        pair(3, anna, "one_person_switched", "one_person", Preference.B),
    ]
    write_pairs(folder / "pairs.jsonl", pairs)
    # the same clips, of whom it is said that they are others
    write_pairs(folder / "dev.jsonl", [one.model_copy(update={"references": renamed(one)}) for one in pairs])
    return folder


def renamed(pair) -> tuple[Reference, ...]:
    return tuple(Reference(path=one.path, person=f"{one.person} of dev") for one in pair.references)


@pytest.fixture(scope="module")
def config(examples) -> FaceTracksConfig:
    pairs, dev = (str(examples / f"{name}.jsonl") for name in ("pairs", "dev"))
    return SMALL.model_copy(
        update={"train": (TrackPairs(path=pairs),), "dev": (dev,), "cache": str(examples / "cache"), "epochs": 30}
    )


@pytest.fixture(scope="module")
def trained(config, examples) -> tuple[Path, Told]:
    told = Told()
    return train_face_tracks(config, examples / "run", progress=told), told


def test_from_files_to_a_scorer_that_ranks_them(trained, config, examples):
    out, told = trained
    assert told.work["faces of clips"] == 5
    scorer = load_folder(out)
    rewards = {}
    for name in ("two_people", "two_people_one_missing"):
        clip = clips_of(examples / "pairs.jsonl", record("x", Preference.A, ("references/bea", "references/carl"),
                        (f"clips/{name}.mp4", "clips/two_people.mp4")))[0]  # fmt: skip
        rewards[name] = scorer.forward([scorer.preprocess(read_clip(clip))])[0].reward
    assert rewards["two_people"] > rewards["two_people_one_missing"] + 0.5
    assert read_head_config(out).training["pairs"] == 4


def test_features_are_computed_once_and_a_damaged_file_of_them_again(trained, config, examples):
    jsonl = examples / "pairs.jsonl"
    pair = record("x", Preference.A, ("references/bea", "references/carl"),
                  ("clips/two_people.mp4", "clips/two_people_evening.mp4"))  # fmt: skip
    clips = clips_of(jsonl, pair)
    told = Told()
    first = extract(clips, Path(config.cache), 1, told)
    assert told.work == {}
    files = sorted(Path(config.cache).rglob("*.safetensors"))
    assert len(files) == 5
    for path in files:
        path.write_bytes(path.read_bytes()[:50])
    again = extract(clips, Path(config.cache), 1, told)
    assert told.work == {"faces of clips": 2}
    for clip in clips:
        assert first[clip].frames_PTF.tobytes() == again[clip].frames_PTF.tobytes()


def test_a_finished_run_says_so_and_another_s_folder_is_left_alone(trained, config, capsys):
    out, run = trained[0], trained[0].parent
    written = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="exists already; --resume goes on with it"):
        train_face_tracks(config, run, progress=Told())
    told = Told()
    assert train_face_tracks(config, run, resume=True, progress=told) == out
    assert "finished already; the model is in" in capsys.readouterr().err
    assert told.work == {}
    same = config.model_copy(update={"dev": (config.train[0].path,)})
    with pytest.raises(TrainingError, match="show the same persons: anna, bea, carl; "):
        train_face_tracks(same, run.parent / "same", progress=told)
    assert not (run.parent / "same").exists()
    changed = config.model_copy(update={"seed": 5})
    with pytest.raises(TrainingError, match="holds another run: seed was 0 and is 5"):
        train_face_tracks(changed, run, resume=True, progress=told)
    assert written == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_without_a_traceback_and_resume_reads_the_other_clips(number, examples, tmp_path):
    """SIGINT to all processes, as a terminal does, or SIGTERM to the one that was started, while clips are read."""
    for name in ("clips", "references", "pairs.jsonl", "dev.jsonl"):
        (tmp_path / name).symlink_to(examples / name)
    pairs, dev = (str(tmp_path / f"{name}.jsonl") for name in ("pairs", "dev"))
    out, cache = tmp_path / "run", tmp_path / "cache"
    config = SMALL.model_copy(
        update={"train": (TrackPairs(path=pairs),), "dev": (dev,), "cache": str(cache), "epochs": 1, "workers": 1}
    )
    (tmp_path / "config.yaml").write_text(config_yaml(config))
    command = [sys.executable, "-m", "reward_model.training", str(tmp_path / "config.yaml"), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(cache.rglob("*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"to go on: identity-reward train-reward {out / 'config.yaml'} --out {out} --resume" in said
    assert "Traceback" not in said
    told = Told()
    done = len(list(cache.rglob("*.safetensors")))
    assert 1 <= done < 5
    train_face_tracks(config, out, resume=True, progress=told)
    assert told.work["faces of clips"] == 5 - done
    assert load_folder(out / "model").info.name == "face-tracks"


def test_an_interruption_leaves_a_run_that_resume_goes_on_with(config, tmp_path):
    class Stopped(Told):
        def __call__(self, what: str, total: int):
            raise KeyboardInterrupt

    fresh = config.model_copy(update={"cache": str(tmp_path / "cache")})
    with pytest.raises(Interrupted, match=r"stopped; what was read of clips is kept in .*cache"):
        train_face_tracks(fresh, tmp_path / "run", progress=Stopped())
    assert read_config(str(tmp_path / "run" / "config.yaml")) == fresh
    with pytest.raises(Interrupted):
        train_face_tracks(fresh, tmp_path / "run", resume=True, progress=Stopped())


def test_reading_processes_don_t_hear_ctrl_c():
    assert [heard for _, heard in in_processes(signal.getsignal, [(signal.SIGINT,)], 1)] == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_leaves_metrics_curves_and_scalars(trained, config):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained[0].parent
    lines = read_metrics(run)
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    dev = {line["step"]: line["dev"] for line in lines if "dev" in line}
    assert losses.keys() == dev.keys()
    assert {line["member"] for line in lines if "dev" in line} == {0, 1}
    assert len(losses) > config.epochs >= len([step for step in losses if step < config.epochs])
    assert dev[max(dev)]["loss"] < dev[0]["loss"]
    assert {"accuracy_without_ties", "accuracy_with_ties"} < dev[0].keys()
    with Image.open(run / "curves.png") as picture:
        assert picture.format == "PNG"
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"loss", "dev/accuracy_without_ties", "dev/loss"} <= set(board.Tags()["scalars"])
    assert len(board.Scalars("loss")) == len(losses)
    assert sorted(path.name for path in trained[0].iterdir()) == ["config.json", "model.safetensors"]


def test_a_reading_process_that_dies_is_told_of():
    with pytest.raises(TrainingError, match="a process that reads clips died, of 2"):
        list(in_processes(os._exit, [(9,)], 2))


def test_what_is_left_out_is_said_and_counted(tmp_path, examples, config, capsys):
    """Five pairs: one of a picture without a face, one without a majority, and no video B that is better."""
    for name in ("clips", "references", "cache"):
        (tmp_path / name).symlink_to(examples / name)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    kept = [pair for pair in read_pairs(examples / "pairs.jsonl") if pair.label != Preference.B]
    faceless = record("4", Preference.A, videos=(kept[0].video_a, kept[0].video_b))
    undecided = kept[0].model_copy(update={"pair_id": "5", "label": None, "votes": Votes(A=1, B=1, tie=1)})
    write_pairs(tmp_path / "train.jsonl", [*kept, faceless, undecided])
    own = config.model_copy(
        update={"train": (TrackPairs(path=str(tmp_path / "train.jsonl")),), "epochs": 1, "workers": 1}
    )
    train, dev = load_splits(own, Told())
    told = capsys.readouterr().err
    assert "1 pairs without a majority are left out" in told
    assert "every decided pair says A" in told
    assert "1 of 3 pairs are left out: a reference of theirs shows no face" in told
    head, _ = train_heads(own, train, dev, Told())
    assert (head.config.training["pairs"], head.config.training["pairs_without_face"]) == (2, 1)


def test_the_count_of_faceless_pairs_outlives_a_split():
    train, dev = split_by_people(replace(made_up(120, 3), num_without_face=7), 0.2, 0)
    assert (train.num_without_face, dev.num_without_face) == (7, 0)


def test_pairs_whose_reference_shows_no_face_are_left_out(tmp_path, config):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    (tmp_path / "a.mp4").write_bytes((EXAMPLES / "clips/one_person.mp4").read_bytes())
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A, videos=("a.mp4", "a.mp4"))])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),), "workers": 1})
    with pytest.raises(TrainingError, match="no pair whose references all show a face"):
        train_face_tracks(wrong, tmp_path / "run", progress=Told())


@pytest.mark.parametrize(
    ("pairs", "error", "told"),
    [
        (None, RecordError, "no such file"),
        ([record("0", Preference.TIE)], TrainingError, "ties"),
        ([record("0", Preference.A, videos=("no.mp4", "a.mp4"))], TrainingError, "no.mp4"),
    ],
)
def test_what_is_wrong_with_pairs_is_said(tmp_path, config, pairs, error, told):
    for name in ("a.jpg", "a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"x")
    if pairs is not None:
        write_pairs(tmp_path / "pairs.jsonl", pairs)
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),)})
    with pytest.raises(error, match=told):
        train_face_tracks(wrong, tmp_path / "run", progress=Told())
    assert not (tmp_path / "run").exists()


def test_packed_clips_need_the_frames_that_the_scorer_looks_at(tmp_path, config):
    (tmp_path / "a.jpg").write_bytes((EXAMPLES / "references/anna.jpg").read_bytes())
    data = (EXAMPLES / "clips/one_person.mp4").read_bytes()
    told = probe(data)

    def pack(name: str, indices: tuple[int, ...]) -> None:
        frames = decode_frames(data, indices)
        write_packed(tmp_path / name, Video(frames, told.fps, told.num_frames, indices))

    wanted = FACE_TRACKS.indices(told.num_frames, told.fps)
    pack("a.safetensors", wanted)
    pack("b.safetensors", wanted[::2])
    pair = record("0", Preference.A, videos=("a.safetensors", "a.safetensors"))
    whole = clips_of(tmp_path / "pairs.jsonl", pair)[0]
    features = extract([whole], tmp_path / "cache", 1, Told())
    file = replace(whole, video=EXAMPLES / "clips/one_person.mp4")
    of_file = extract([file], tmp_path / "cache", 1, Told())
    assert features[whole].frames_PTF.tobytes() == of_file[file].frames_PTF.tobytes()
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A, videos=("a.safetensors", "b.safetensors"))])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),)})
    work = Told()
    with pytest.raises(TrainingError, match=r"b\.safetensors is a packed clip without .* --packed-frames 16 "):
        train_face_tracks(wrong, tmp_path / "run", progress=work)
    assert work.work == {}


def test_a_video_that_can_t_be_read_is_named(tmp_path, config):
    (tmp_path / "a.jpg").write_bytes((EXAMPLES / "references/anna.jpg").read_bytes())
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A)])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),), "workers": 1})
    with pytest.raises(TrainingError, match=r"[ab]\.mp4: .*mend it, or remove its pairs"):
        train_face_tracks(wrong, tmp_path / "run", progress=Told())


def test_the_command_trains_a_head_of_a_data_set_and_says_what_is_wrong(examples, trained, tmp_path):
    app = typer.Typer()
    app.command()(train_reward)
    (examples / "train.jsonl").write_bytes((examples / "pairs.jsonl").read_bytes())
    arguments = ["face-tracks", "--data", str(examples), "--out", str(tmp_path / "run")]
    small = [f"--set=cache={examples / 'cache'}", "--set=epochs=2", "--set=members=1"]
    done = CliRunner().invoke(app, [*arguments, *small])
    assert done.exit_code == 0, done.output
    assert load_folder(tmp_path / "run" / "model").info.name == "face-tracks"
    again = CliRunner().invoke(app, [*arguments, *small])
    assert again.exit_code == 2
    assert "exists already" in again.output
    resumed = CliRunner().invoke(app, [*arguments, *small, "--resume"])
    assert resumed.exit_code == 0
    assert "finished already" in resumed.output


def test_the_shipped_config_and_overrides(tmp_path):
    shipped = read_config("face-tracks", ["augmentation.size_shift=0.1", "seed=3"])
    assert (shipped.kind, shipped.augmentation.size_shift, shipped.seed) == ("face-tracks", 0.1, 3)
    with pytest.raises(TrainingError, match="no pairs are given"):
        train_face_tracks(shipped, tmp_path / "run", progress=Told())
    with pytest.raises(TrainingError, match=r"epohcs is no field; did you mean epochs\?"):
        read_config("face-tracks", ["epohcs=3"])
    (tmp_path / "dev.jsonl").touch()
    given = read_config("face-tracks", [], tmp_path)
    assert [pairs.path for pairs in given.train] == [str(tmp_path / "train.jsonl")]
    assert given.dev == (str(tmp_path / "dev.jsonl"),)


@pytest.mark.slow
def test_cross_validation_tests_each_person_by_a_head_that_never_saw_them(examples, config):
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
    own = config.model_copy(update={"train": (), "dev": (), "epochs": 5})
    evaluation = cross_validate(own, examples / "people.jsonl", 3, Told())
    assert [report.label for report in evaluation.reports] == [
        "face-tracks", "arcface", "arcface-minimum", "arcface-best-frame",
    ]  # fmt: skip
    assert {pair.pair_id for pair in evaluation.pairs} == set(single)
    assert all(report.num_scored == 3 for report in evaluation.reports)
    assert sorted(pair.cluster for pair in evaluation.pairs) == ["fold 0", "fold 1", "fold 2"]
    assert evaluation.reports[1].overall["accuracy_without_ties"].mean == 1
    (examples / "own.yaml").write_text(config_yaml(own))
    main(examples / "people.jsonl", str(examples / "own.yaml"), None, 3, examples / "told.json")
    told = json.loads((examples / "told.json").read_text())
    assert (told["clusters"], told["num_clusters"]) == ("folds of people", 3)
    both = [pair.model_copy(update={"meta": {"people": ["anna", "bea", "carl"]}}) for pair in pairs]
    write_pairs(examples / "everybody.jsonl", both)
    with pytest.raises(TrainingError, match="none of 2 folds"):
        cross_validate(own, examples / "everybody.jsonl", 2, Told())
