def test_prefix_key_depends_on_images_and_their_order_only(make):
    keys = {
        make(images=p, image_grid=g).prefix_key for p in ((1, 2), (2, 1), (1,), (3,)) for g in ((1, 8, 6), (1, 6, 8))
    }
    assert len(keys) == 8
    assert make(video=1).prefix_key == make(video=2, text=3).prefix_key
