"""What does not hold yet, by check. Only what is listed here may fail, and the lists only shrink."""

PENDING: dict[str, set[str]] = {
    "circles between siblings": set(),
    "large folders": {
        "benchmarks",
        "tests/support",
    },
    "long files": {
        "tests/service/engine/test_engine.py",
        "tests/service/grpc/test_server.py",
        "tests/service/jobs/test_service.py",
        "tests/service/jobs/test_store.py",
    },
    "modules without a test file": {
        "clients/identity_reward_client/inputs/groups.py",
        "clients/identity_reward_client/local.py",
        "clients/identity_reward_client/messages.py",
        "clients/identity_reward_client/transports/jobs.py",
        "clients/identity_reward_client/wire/error_bodies.py",
        "clients/identity_reward_client/wire/job_messages.py",
        "reward_model/data/cli.py",
        "reward_model/data/progress.py",
        "reward_model/data/workers.py",
        "reward_model/faces/recognition/face.py",
        "reward_model/faces/recognition/model_files.py",
        "reward_model/faces/tracks/clip_faces.py",
        "reward_model/faces/tracks/details.py",
        "reward_model/faces/tracks/reward_head.py",
        "reward_model/faces/tracks/appearance.py",
        "service/app.py",
        "service/auth/authenticator.py",
        "service/auth/cli.py",
        "service/cli.py",
        "service/errors.py",
        "service/grpc/call.py",
        "service/grpc/interceptors.py",
        "service/grpc/methods.py",
        "service/jobs/database.py",
        "service/jobs/manifest.py",
        "service/jobs/runner.py",
        "service/media/input_budget.py",
        "service/operations/status.py",
        "service/operations/supervisor.py",
        "service/operations/tracing.py",
        "service/scheduling/call.py",
    },
    "shared class names": {
        "Call",
        "Clip",
        "Scored",
    },
    "test files without a source": {
        "tests/reward_model/faces/test_example_clips.py",
        "tests/service/media/test_decode_workers.py",
    },
}


def check_pending(check: str, failing: list[str]) -> None:
    unexpected = sorted(set(failing) - PENDING.get(check, set()))
    assert not unexpected, f"{check}: {unexpected}"
