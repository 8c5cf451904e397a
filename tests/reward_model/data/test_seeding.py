from reward_model.data.seeding import generator, torch_seed


def test_generator_is_a_function_of_its_names():
    assert generator(1, "a").integers(0, 1 << 40, 4).tolist() == generator(1, "a").integers(0, 1 << 40, 4).tolist()
    assert generator(1, "a").integers(1 << 40) != generator(1, "b").integers(1 << 40)
    assert generator("1a").integers(1 << 40) != generator(1, "a").integers(1 << 40)


def test_seeds_have_stable_golden_values():
    assert torch_seed(7, "augment", 3) == 661_769_466_265_872_574
    assert generator(7, "augment", 3).integers(1 << 40) == 829_581_872_911
