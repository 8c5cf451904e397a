"""Memory that a token needs while a batch is computed, from the model's shape."""

from __future__ import annotations

from typing import Any


def bytes_per_token(model: Any) -> int:
    """Peak bytes for one token of an image or video, besides the weights.

    The larger of what the vision tower and the language model hold for it, plus its keys and values in every layer. A
    layer holds for each row: input, normed input, queries, keys, values, attention output, gate, up and their product.
    The tower has four rows (patches) a token and rotates queries and keys in float32.
    """
    text, vision = model.config.text_config, model.config.vision_config
    size = model.language_model.embed_tokens.weight.element_size()
    head = text.hidden_size // text.num_attention_heads
    keys_values = 2 * text.num_key_value_heads * head
    language = size * (5 * text.hidden_size + keys_values + 3 * text.intermediate_size)
    rows = vision.spatial_merge_size**2
    tower = rows * (size * (7 * vision.hidden_size + 3 * vision.intermediate_size) + 4 * 6 * vision.hidden_size)
    return max(language, tower) + size * keys_values * text.num_hidden_layers
