"""Pretrains the policy on the world that mixes people up: `python -m examples.people_policy.pretrain`.

Renders portraits of random people, fits a reader of portraits, and trains the transformer on the world. Writes
`weights.safetensors` and, beside it, `pretrain.json`: curves, seconds, and what the policy generates for new casts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward_model.data.progress import progress

from .ground_truth import distance, judge, pool
from .network import PeopleTransformer, PortraitEncoder
from .policy import WEIGHTS, PeoplePolicy, save_networks
from .portraits import PortraitSet, make_portraits
from .sampling import sample_latents
from .scene import NUM_KEY_FRAMES
from .training import OnLoss, Schedule, fit_encoder, train_flow
from .world import sample_casts

SEED = 7
NUM_PORTRAITS = 2400
FLOW = Schedule(steps=2800, batch_size=128)
# people of the check, none of whom is trained on
NUM_CHECKED = 400
POINTS_OF_CURVE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file of the weights")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--portraits", type=int, default=NUM_PORTRAITS)
    parser.add_argument("--workers", type=int, default=2, help="processes that render portraits")
    parser.add_argument("--cache", type=Path, help="file in which portraits are kept and from which they are taken")
    args = parser.parse_args()
    # the same weights whatever the number of cores, and threads of such small layers gain little
    torch.set_num_threads(1)
    seconds: dict[str, float] = {}
    load: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result = work()
        seconds[name] = round(time.monotonic() - start, 1)
        load[name] = round(os.getloadavg()[0], 1)
        return result

    portraits = timed("portraits", lambda: cached_portraits(args.cache, args.seed, args.portraits, args.workers))
    shown, new = portraits.part(0, len(portraits) - NUM_CHECKED), portraits.part(-NUM_CHECKED, len(portraits))
    encoder, references = timed("encoder", lambda: fit_encoder(shown))
    curve: list[float] = []
    with progress("flow", FLOW.steps) as steps:
        network = timed("flow", lambda: train_flow(references, shown.codes_NC, FLOW, args.seed, on_loss(curve, steps)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_networks(args.out, network, encoder)
    record = {
        "seed": args.seed,
        "portraits": len(portraits),
        "parameters": count(network),
        "seconds": seconds,
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                    "load": load, "torch": torch.__version__},
        "encoder": check_encoder(encoder, new),
        "generated": {f"{people} people": check_flow(network, encoder, new, people) for people in (1, 2)},
        "loss": thinned(curve),
    }  # fmt: skip
    args.out.with_name("pretrain.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({name: record[name] for name in ("seconds", "encoder", "generated")}, indent=1))


def cached_portraits(cache: Path | None, seed: int, count: int, workers: int) -> PortraitSet:
    if cache is not None and cache.exists():
        return PortraitSet.load(cache)
    with progress("portraits", count) as steps:
        portraits = make_portraits(seed, count, workers, lambda _: steps.advance())
    if cache is not None:
        portraits.save(cache)
    return portraits


def on_loss(curve: list[float], steps: Any) -> OnLoss:
    def add(step: int, loss: float) -> None:
        curve.append(loss)
        steps.advance()

    return add


def thinned(curve: list[float]) -> list[float]:
    """Means of equal parts."""
    return [round(float(part.mean()), 5) for part in np.array_split(np.array(curve), min(POINTS_OF_CURVE, len(curve)))]


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def check_encoder(encoder: PortraitEncoder, new: PortraitSet) -> dict[str, float]:
    """Of new people: how far the estimate is from them, and how often they are the nearest of them and a pool."""
    codes = encoder(torch.from_numpy(new.features_NV))[:, : new.codes_NC.shape[1]].numpy()
    own = distance(codes, new.codes_NC)
    nearest_other = distance(codes[:, None], pool()).min(1)
    return {"distance": round(float(own.mean()), 4), "own_nearest": round(float((own < nearest_other).mean()), 4)}


def check_flow(
    network: PeopleTransformer, encoder: PortraitEncoder, new: PortraitSet, num_people: int, num_clips: int = 512
) -> dict[str, float]:
    """What the policy generates for casts of new people, by ground truth."""
    rng = np.random.default_rng(0)
    casts = sample_casts(rng, new.codes_NC, num_clips, num_people)
    references = encoder(torch.from_numpy(new.features_NV))[torch.from_numpy(casts.own_BP)]
    policy = PeoplePolicy(network, encoder)
    shape = (num_clips, num_people, NUM_KEY_FRAMES, new.codes_NC.shape[1])
    noise = torch.from_numpy(rng.standard_normal(shape, np.float32))
    latents = sample_latents(policy, {"references": references}, noise)
    return {name: round(value, 4) for name, value in judge(latents.numpy(), casts.own_BPC).summary().items()}


if __name__ == "__main__":
    main()
