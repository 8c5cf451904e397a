"""Registers the tests' own scorers in every Python process that has this folder on its PYTHONPATH."""

from reward_model.registry import SCORERS

SCORERS["slow"] = "tests.support.scorers.slow:SlowScorer"
SCORERS["dying"] = "tests.support.scorers.dying:load"
