"""What does not hold yet, by check. Only what is listed here may fail, and the lists only shrink."""

PENDING: dict[str, set[str]] = {
    "circles between siblings": set(),
    "large folders": {
        "benchmarks",
    },
    "long files": {
        "tests/service/grpc/test_server.py",
    },
    "modules without a test file": {
        "reward_model/data/cli.py",
        "reward_model/data/progress.py",
        "reward_model/data/workers.py",
        "reward_model/faces/recognition/face.py",
        "reward_model/faces/recognition/model_files.py",
        "reward_model/faces/tracks/appearance.py",
        "reward_model/faces/tracks/clip_faces.py",
        "reward_model/faces/tracks/details.py",
        "reward_model/faces/tracks/reward_head.py",
        "service/app.py",
        "service/cli.py",
        "service/grpc/call.py",
        "service/grpc/interceptors.py",
        "service/grpc/methods.py",
        "service/operations/status.py",
        "service/operations/supervisor.py",
        "service/operations/tracing.py",
    },
    "shared class names": {
        "Scored",
    },
    "test files without a source": {
        "tests/reward_model/faces/test_example_clips.py",
    },
}


def check_pending(check: str, failing: list[str]) -> None:
    unexpected = sorted(set(failing) - PENDING.get(check, set()))
    assert not unexpected, f"{check}: {unexpected}"
