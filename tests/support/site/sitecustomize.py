"""Registers the tests' own scorers in every Python process that has this folder on its PYTHONPATH."""

from reward_model.registry import SCORERS

SCORERS["slow"] = "tests.support.slow_model:SlowScorer"
SCORERS["dying"] = "tests.support.dying_model:load"
