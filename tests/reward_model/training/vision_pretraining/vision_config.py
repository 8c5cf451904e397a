"""A short pretraining of a tiny tower."""

from reward_model.training.configs.files import read_config


def vision_config(people, **settings):
    """Configuration of a run on the data set of `people`; `settings` are fields by their dotted names."""
    settings = {
        "model.backbone": "tiny", "model.frame_sampling": "compact-uniform-8", "batch": 2, "epochs": 4,
        "evaluate_every": 3, "save_every": 2, "precision": "fp32", "data.clean": people / "train.jsonl",
        "data.dev": people / "dev.jsonl", **settings,
    }  # fmt: skip
    return read_config("compact-vision", [f"{key}={value}" for key, value in settings.items()])
