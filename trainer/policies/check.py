"""Whether a policy can use the prompts of a run, found out before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from reward_model.training.errors import TrainingError

from ..errors import PolicyError
from ..prompts import Prompt
from .base import Conditioning, VideoPolicy

# prompts that are encoded at most: for a large policy each takes a second
MAX_ENCODED = 16


def check_policy(policy: VideoPolicy, prompts: Sequence[Prompt]) -> None:
    """Encodes one prompt for each number and sizes of references, up to `MAX_ENCODED`.

    Raises TrainingError for references or texts that the policy cannot use, and where other references of the same
    number leave the conditioning as it is: the policy ignores them, and no reward for identity can train it.
    """
    kinds: dict[tuple[tuple[int, int], ...], Prompt] = {}
    for prompt in prompts:
        kinds.setdefault(tuple(map(_size, prompt.references)), prompt)
    for prompt in list(kinds.values())[:MAX_ENCODED]:
        policy.latent_shape(_encode(policy, prompt))
    pair = next(((a, b) for a in prompts[:1] for b in prompts if _same_number_of_others(a, b)), None)
    if pair is not None:
        first, other = pair
        exchanged = Prompt(first.key, first.text, other.references)
        if _equal(_encode(policy, first), _encode(policy, exchanged)):
            raise TrainingError(
                f"the policy ignores references: its conditioning for the prompt {first.key} is the same with the "
                f"images of {other.key}. Choose a policy that is conditioned on references"
            )


def _encode(policy: VideoPolicy, prompt: Prompt) -> Conditioning:
    try:
        return policy.encode([prompt])
    except PolicyError as error:
        raise TrainingError(f"the policy can't use the prompt {prompt.key}: {error}") from None


def _size(path: object) -> tuple[int, int]:
    """Size from the file's header."""
    try:
        with Image.open(str(path)) as image:
            return image.size
    except OSError as error:
        raise TrainingError(f"the reference {path} is no image: {error}") from None


def _same_number_of_others(a: Prompt, b: Prompt) -> bool:
    return len(a.references) == len(b.references) and a.references != b.references


def _equal(a: Conditioning, b: Conditioning) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
