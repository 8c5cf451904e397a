from reward_model.faces.pricing import pixel_price
from reward_model.types import Price


def test_price_is_one_token_for_784_pixels_and_at_least_one():
    assert pixel_price([(280, 280), (1, 1)], 8, (280, 280)) == Price(101, 800)


def test_unknown_size_is_priced_as_480_by_832():
    assert pixel_price([None], 4, (480, 832)) == pixel_price([(480, 832)], 4, None)
