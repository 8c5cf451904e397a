from hypothesis import given, settings
from hypothesis import strategies as st

from frame_ops.taps import axis_taps


def plain_u8_taps(size_in, size_out):
    """torch's compute_index_ranges_int16_weights, one output after another."""
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support, rows = 2 * stretch, []
    for i in range(size_out):
        center = scale * (i + 0.5)
        start = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), size_in)
        weights = [cubic((j + start - center + 0.5) * (1 / stretch)) for j in range(end - start)]
        total = 0.0
        for weight in weights:
            total += weight
        rows.append((start, [weight / total for weight in weights]))
    largest, bits = max(max(weights) for _, weights in rows), 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    fixed = [[int(w * (1 << bits) + (0.5 if w >= 0 else -0.5)) for w in weights] for _, weights in rows]
    return [start for start, _ in rows], fixed, bits


def cubic(x, a=-0.5):
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 900), st.integers(1, 30))
def test_vectorised_taps_equal_the_scalar_algorithm(size_in, blocks):
    size_out = 28 * blocks
    if size_in == size_out:
        return
    starts, fixed, bits = plain_u8_taps(size_in, size_out)
    taps = axis_taps(size_in, size_out, "u8")
    assert taps.shift == bits
    assert taps.starts.tolist() == starts
    for vectorised, scalar in zip(taps.weights.tolist(), fixed, strict=True):
        assert vectorised[: len(scalar)] == scalar
        assert not any(vectorised[len(scalar) :])
