"""Forward passes of one scorer, and their outputs as item results."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from identity_reward_client.errors import DeviceLost, NonFiniteReward, RewardError, ScoringFailed
from reward_model.scorer import Scorer

from ..errors import error_location
from .group_task import GroupTask
from .item_result import ItemResult

log = logging.getLogger("identity_reward")

# (task, index of one of its prepared videos)
BatchItem = tuple[GroupTask, int]


class BatchRunner:
    """Gives every video of a batch its result, whatever the scorer does.

    A forward pass that raises fails its own batch. If that held several tasks, each is run again by itself, so that
    one caller's videos can't fail another's. A lost device fails everything from then on and is reported to `on_lost`.
    """

    def __init__(self, scorer: Scorer, on_lost: Callable[[str], None]):
        self._scorer = scorer
        self._on_lost = on_lost
        self._lost: DeviceLost | None = None

    def run(self, batch: Sequence[BatchItem]) -> None:
        """Score the batch in one forward pass and add the results to its tasks."""
        if self._lost is not None:
            _add_results(batch, [ItemResult(error=self._lost)] * len(batch))
            return
        try:
            outputs = self._scorer.forward([task.prepared[index].inputs for task, index in batch])
            if len(outputs) != len(batch):
                raise RuntimeError(f"forward returned {len(outputs)} outputs for {len(batch)} samples")
        except DeviceLost as error:
            log.error("the device is lost: %s", error.message)
            self._lost = error
            _add_results(batch, [ItemResult(error=error)] * len(batch))
            self._on_lost(error.message)
            return
        except BaseException as error:
            tasks = list(dict.fromkeys(task for task, _ in batch))
            if len(tasks) > 1:
                for task in tasks:
                    self.run([item for item in batch if item[0] is task])
                return
            outputs = [scoring_error(error)] * len(batch)
        _add_results(batch, [self._result(item, output) for item, output in zip(batch, outputs, strict=True)])

    def _result(self, item: BatchItem, output: Any) -> ItemResult:
        task, index = item
        if isinstance(output, Exception):
            return ItemResult(error=scoring_error(output))
        try:
            score = self._scorer.postprocess(output)
            if not math.isfinite(score.reward):
                raise NonFiniteReward(f"model {self._scorer.info.name!r} returned a reward that is not a finite number")
        except Exception as error:
            return ItemResult(error=scoring_error(error))
        return ItemResult(score, task.prepared[index].video)


def _add_results(batch: Sequence[BatchItem], results: Sequence[ItemResult]) -> None:
    for (task, index), result in zip(batch, results, strict=True):
        task.add_result(index, result)


def scoring_error(error: BaseException) -> RewardError:
    """A typed error as it is. Any other is logged without its text, which may quote inputs, as ScoringFailed."""
    if isinstance(error, RewardError):
        return error
    log.error("scoring failed: %s", error_location(error))
    return ScoringFailed("the model failed on this batch; the server's log says where")
