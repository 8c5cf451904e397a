"""Sections of evaluations and of what a run writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reward_model.training.configs.base import Count, Section


class EvaluationConfig(Section):
    """Evaluation on data.evaluation_prompts, from noise that is the same in every evaluation of the run."""

    # videos of a prompt
    videos: Count = 1
    # prompts whose clips are drawn beside those of the first evaluation; 0: none
    sheet_prompts: Annotated[int, Field(ge=0)] = 4


class TrackingConfig(Section):
    """Contact sheets and trackers. Every run has metrics.jsonl and TensorBoard's files in its folder."""

    # names of accelerate's trackers: tensorboard (here: contact sheets), wandb, mlflow, aim, ...
    trackers: tuple[str, ...] = ("tensorboard",)
    # steps between contact sheets of the groups in training, and between drawings of the reward's curves; 0: none
    draw_every: Annotated[int, Field(ge=0)] = 10
    # groups on such a sheet
    contact_sheet_groups: Count = 1
