"""What a token costs in memory while a batch is computed, from the model's shape."""

from __future__ import annotations

from typing import Any


def bytes_per_token(model: Any) -> int:
    """Most bytes that one token of a picture or video needs at once, over the weights: the larger of what the tower and
    the language model hold for it, and its keys and values in every layer.

    A layer holds, for a row, its input and its normed copy, queries, keys and values, what attention gave, gate, up and
    their product. The tower has four rows (patches) for a token, and rotates queries and keys in float32.
    """
    text, vision = model.config.text_config, model.config.vision_config
    size = model.language_model.embed_tokens.weight.element_size()
    head = text.hidden_size // text.num_attention_heads
    keys_values = 2 * text.num_key_value_heads * head
    language = size * (5 * text.hidden_size + keys_values + 3 * text.intermediate_size)
    rows = vision.spatial_merge_size**2
    tower = rows * (size * (7 * vision.hidden_size + 3 * vision.intermediate_size) + 4 * 6 * vision.hidden_size)
    return max(language, tower) + size * keys_values * text.num_hidden_layers
