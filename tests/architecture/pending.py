"""What does not hold yet, by check. Only what is listed here may fail, and the lists only shrink."""

import warnings

PENDING: dict[str, set[str]] = {
    "circles between siblings": {
        "reward_model.training: config <-> config_file <-> evaluation <-> loop <-> preferences <-> vision_pretraining",
    },
    "large folders": {
        "benchmarks",
    },
    "long files": {
        "tests/reward_model/training/evaluation/test_evaluation.py",
        "tests/reward_model/training/face_tracks/test_train.py",
    },
    "modules without a test file": {
        "reward_model/training/cli.py",
        "reward_model/training/cli_scoring.py",
        "reward_model/training/config_file.py",
        "reward_model/training/errors.py",
        "reward_model/training/face_tracks/augment.py",
        "reward_model/training/face_tracks/baselines.py",
        "reward_model/training/face_tracks/config.py",
        "reward_model/training/face_tracks/cross_validation.py",
        "reward_model/training/face_tracks/extract.py",
        "reward_model/training/face_tracks/run.py",
        "reward_model/training/loop/interruption.py",
        "reward_model/training/loop/optimizer.py",
        "reward_model/training/loop/result.py",
        "reward_model/training/loop/run_folder.py",
        "reward_model/training/loop/state.py",
        "reward_model/training/preferences/backbones.py",
        "reward_model/training/preferences/initial.py",
        "reward_model/training/preferences/media.py",
        "reward_model/training/preferences/run_data.py",
        "reward_model/training/preferences/teacher.py",
        "reward_model/training/vision_pretraining/config.py",
        "reward_model/training/vision_pretraining/face_tokens.py",
        "reward_model/training/vision_pretraining/optimizer.py",
        "service/app.py",
    },
    "shared class names": {
        "Scored",
    },
    "test files without a source": {
        "tests/reward_model/training/preferences/test_run_input.py",
        "tests/reward_model/training/preferences/test_stops.py",
    },
}


def check_pending(check: str, failing: list[str]) -> None:
    """Fail for what is not listed; warn of what is listed although it holds by now."""
    listed = PENDING.get(check, set())
    unexpected = sorted(set(failing) - listed)
    assert not unexpected, f"{check}: {unexpected}"
    if settled := sorted(listed - set(failing)):
        warnings.warn(f"{check}: take these from the list, they hold by now: {settled}", stacklevel=2)
