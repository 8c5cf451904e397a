import torch

from reward_model.qwen.backbone import backbone_config, build_body
from reward_model.qwen.tiny import tiny_backbone, tiny_tokenizer


def test_parameters_are_on_the_meta_device_and_buffers_are_computed():
    body = build_body(tiny_backbone(tiny_tokenizer()))
    assert {parameter.device.type for parameter in body.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in body.buffers()} == {"cpu"}
    assert not any(parameter.requires_grad for parameter in body.parameters())
    width = body.config.text_config.hidden_size // body.config.text_config.num_attention_heads
    exponents = torch.arange(0, width, 2) / width
    torch.testing.assert_close(body.language_model.rotary_emb.inv_freq, 1e6**-exponents)


def test_attention_of_every_part_is_scaled_dot_product_attention():
    config = backbone_config(tiny_backbone(tiny_tokenizer()))
    parts = (config, config.text_config, config.vision_config)
    assert {part._attn_implementation for part in parts} == {"sdpa"}
