"""Whether a face is the reference image itself: shown still, panned, scaled, mirrored, warped, relit, sharpened, pasted
over another head or with a moving mouth.

Both aligned faces are compared as pixels. The reference is first fitted to the face by changes that a copy can be
hidden by: an affine motion (`cv2.findTransformECC`), a gain of each size of detail (blur, sharpening), and a monotone
map of grey levels (light, contrast). Then the correlation of their fine detail around each pixel is taken. In a copy it
is high nearly everywhere; what was changed in places, such as a mouth or the seam of a pasted face, lowers it there
only. So it is the percentile that counts. Another photograph of the person has other light, pose and expression, which
leave few places alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np

# raised whenever the result changes for the same pixels: caches of features and fingerprints follow it
REVISION = 3
# side of the compared crops; at 112 nothing is told apart better, and it takes five times as long
SIDE_PX = 56
# faces less similar to the reference than this are no copies; the least that copies reach is 0.6
MIN_SIMILARITY = 0.5
# correlations of coarse detail below which a face is no copy, after the best shift and after the affine fit of it: of
# 1,900 copies the least are 0.39 and 0.63, and one in 200 is lower than this
MIN_SHIFTED, MIN_COARSE_FIT = 0.5, 0.8
# the reference and its mirror image are both fitted where their shifted correlations differ by less than this
MIRROR_MARGIN = 0.06
# correlations from which a face begins to count as a near copy, and from which it is one. Studio portraits of one
# person in one session, filmed well and badly, faded and blurred, reach 0.9929 and 0.9965.
NEAR_WHOLE_RANGE = (0.9933, 0.9942)
NEAR_UPPER_RANGE = (0.9966, 0.9972)
# the same of the image itself. Other expressions that a generator made of the portrait reach 0.9977 and 0.9983.
SAME_WHOLE_RANGE = (0.9977, 0.9985)
SAME_UPPER_RANGE = (0.9983, 0.9988)
# as how much of a copy a near copy counts: an honest clip may have some, as a generator keeps what needn't change
NEAR_COPY = 0.6
# of the pixels of the whole face, and of forehead, eyes and nose, the percentile of the local correlation that counts
WHOLE_PERCENTILE, UPPER_PERCENTILE = 65, 70
# variance of noise from compression in the compared detail, in grey levels squared; at most a share of that of the
# detail, so that a faded face isn't taken for noise
NOISE, MAX_NOISE_SHARE = 60.0, 0.3
# variance of the compared detail over that of the face's grey levels, below which the face is blurred: what is left of
# two photographs is then more alike
MIN_DETAIL = 0.06
# first frames that are looked at: the most similar ones, and some between; the others only where one of them is a copy
PROBES = 3
# standard deviations in pixels: of coarse and fine detail that is fitted, of detail that is compared, of the
# neighbourhood of a local correlation, and of the sizes of detail that have a gain each
_COARSE_PX, _FINE_PX, _COMPARED_PX, _LOCAL_PX = (2.0, 8.0), (0.75, 4.0), (1.5, 3.0), 4.0
_GAINS_PX = (0.8, 1.6, 3.2, 6.4)
_COARSE_STEPS, _FINE_STEPS = 15, 30
# of cv2.findTransformECC: side of its smoothing filter in pixels
_FILTER_PX = 3
# largest shift in pixels between the landmarks' alignments of a face and its copy
_SHIFT_PX = 7
# range of an affine fit's area; others are degenerate
_AREA_RANGE = (0.4, 2.5)
# grey levels outside of this are saturated
_LEVELS = (3, 252)
# share of copies of the reference from which other frames are looked at as the rest of a loop, and what is a copy there
MIN_LOOP_SHARE, MIN_LOOP_COPY = 0.25, 0.55
_Y, _X = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)


def _ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    return ((_X - x) / width) ** 2 + ((_Y - y) / height) ** 2 <= 1


# pixels of the face without hair and background, which belong to the body that a face is pasted on
_WHOLE = _ellipse(28, 35, 16, 20)
# of it forehead, eyes and nose, which a moving mouth leaves as they are
_UPPER = _ellipse(28, 28, 17, 15) & (_Y < 39)
_WHOLE_MASK, _UPPER_MASK = (region.astype(np.uint8) * 255 for region in (_WHOLE, _UPPER))


def clip_copies(crops: Sequence[np.ndarray], reference_SS: np.ndarray, similarities: Sequence[float]) -> list[float]:
    """For each crop of a person, the share to which it is a copy, 0..1.

    similarities: of each crop to the reference. Where a part of a clip copies the reference, the frames that hold one
    other photograph count as copies, too: a loop of two photographs is no more of a clip than one photograph.
    """
    reference = _Reference(reference_SS)
    copies = [0.0] * len(crops)
    candidates = [n for n, similarity in enumerate(similarities) if similarity >= MIN_SIMILARITY]
    probes = _probes(candidates, similarities)
    for frames in (probes, [n for n in candidates if n not in probes]):
        for n in frames:
            copies[n] = reference.copy_share(crops[n])
        if not any(copies):
            return copies
    num_copies = sum(copied >= MIN_LOOP_COPY for copied in copies)
    others = [n for n, copied in enumerate(copies) if copied < MIN_LOOP_COPY]
    if num_copies >= MIN_LOOP_SHARE * len(copies) and len(others) > 1:
        middle = _Reference(crops[others[len(others) // 2]])
        held = {n: middle.copy_share(crops[n]) for n in others}
        # other frames that differ among themselves are a clip that moves
        if np.mean(list(held.values())) >= MIN_LOOP_COPY:
            copies = [max(copied, held.get(n, 0.0)) for n, copied in enumerate(copies)]
    return copies


def _probes(candidates: Sequence[int], similarities: Sequence[float]) -> set[int]:
    """The PROBES most similar candidates, and as many that are spread over the clip."""
    most_similar = sorted(candidates, key=lambda n: -similarities[n])[:PROBES]
    spread = np.linspace(0, len(candidates) - 1, PROBES).round().astype(int) if candidates else ()
    return {*most_similar, *(candidates[n] for n in spread)}


def copy_share(crop_SS: np.ndarray, reference_SS: np.ndarray) -> float:
    """0 for another image, NEAR_COPY for a near copy of the reference or its mirror image, 1 for the image itself.

    Both uint8 grey [SIDE_PX, SIDE_PX], aligned by their landmarks.
    """
    return _Reference(reference_SS).copy_share(crop_SS)


class _Face:
    """An aligned face, float32 [SIDE_PX, SIDE_PX], with its detail."""

    def __init__(self, grey_SS: np.ndarray):
        self.grey = grey_SS.astype(np.float32)

    @cached_property
    def coarse(self) -> np.ndarray:
        return _normalised_detail(self.grey, _COARSE_PX)

    @cached_property
    def fine(self) -> np.ndarray:
        return _normalised_detail(self.grey, _FINE_PX)


class _Reference:
    """A reference's face and its mirror image, prepared for the faces of a clip."""

    def __init__(self, reference_SS: np.ndarray):
        self._faces = _Face(reference_SS), _Face(np.ascontiguousarray(reference_SS[:, ::-1]))

    def copy_share(self, crop_SS: np.ndarray) -> float:
        crop = _Face(crop_SS)
        shifts = sorted(((_best_shift(crop, face), face) for face in self._faces), key=lambda pair: -pair[0].fit)
        share = 0.0
        for shift, face in shifts:
            if share < 1 and shift.fit >= max(MIN_SHIFTED, shifts[0][0].fit - MIRROR_MARGIN):
                share = max(share, _copy_share(crop, face, shift))
        return share


@dataclass(frozen=True)
class _Shift:
    # correlation of coarse detail
    fit: float
    # pixels of the reference from those of the face
    x: int
    y: int


def _best_shift(crop: _Face, reference: _Face) -> _Shift:
    # the middle of the face; the upper edge is hair
    top, left = 2 * _SHIFT_PX - 1, _SHIFT_PX
    middle = crop.coarse[top : SIDE_PX - _SHIFT_PX, left : SIDE_PX - _SHIFT_PX]
    _, fit, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(reference.coarse, middle, cv2.TM_CCOEFF_NORMED))
    return _Shift(fit, x - left, y - top)


def _copy_share(crop: _Face, reference: _Face, shift: _Shift) -> float:
    affine = _affine_fit(crop, reference, shift)
    if affine is None:
        return 0.0
    moved = cv2.warpAffine(
        reference.grey, affine, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    local = _local_correlation(crop.grey, _matched_levels(_matched_gains(moved, crop.grey), crop.grey))
    whole = float(np.percentile(local[_WHOLE], WHOLE_PERCENTILE))
    upper = float(np.percentile(local[_UPPER], UPPER_PERCENTILE))
    near = max(_ramp(whole, NEAR_WHOLE_RANGE), _ramp(upper, NEAR_UPPER_RANGE))
    same = max(_ramp(whole, SAME_WHOLE_RANGE), _ramp(upper, SAME_UPPER_RANGE))
    return NEAR_COPY * near + (1 - NEAR_COPY) * same


def _affine_fit(crop: _Face, reference: _Face, shift: _Shift) -> np.ndarray | None:
    """[2, 3] float32, by coarse detail and then by fine detail; None where there is no fit that a copy would have."""
    affine = np.array([[1, 0, shift.x], [0, 1, shift.y]], np.float32)
    try:
        fit, affine = _ecc(crop.coarse, reference.coarse, affine, _COARSE_STEPS, _WHOLE_MASK)
        if fit < MIN_COARSE_FIT:
            return None
        _, affine = _ecc(crop.fine, reference.fine, affine, _FINE_STEPS, _UPPER_MASK)
    except cv2.error:  # it doesn't converge for images that have nothing in common
        return None
    low, high = _AREA_RANGE
    return affine if low < np.linalg.det(affine[:, :2]) < high else None


def _ecc(
    detail: np.ndarray, reference: np.ndarray, affine: np.ndarray, steps: int, mask: np.ndarray
) -> tuple[float, np.ndarray]:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    fit, fitted = cv2.findTransformECC(detail, reference, affine, cv2.MOTION_AFFINE, criteria, mask, _FILTER_PX)
    return fit, np.asarray(fitted)


def _matched_gains(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The image with the contrast of each size of its detail changed to the target's, 0..255."""
    blurred = [image, *(cv2.GaussianBlur(image, (0, 0), size) for size in _GAINS_PX)]
    bands = [finer - coarser for finer, coarser in pairwise(blurred)]
    bands += [blurred[-1], np.ones_like(image)]
    low, high = _LEVELS
    # the upper face, because a mouth may move; what is saturated has lost its detail
    region = _UPPER & (target >= low) & (target <= high)
    values = np.stack([band[region] for band in bands], -1).astype(np.float64)
    # keeps the gains of bands without detail small
    ridge = np.diag([4e-3 * len(values)] * len(_GAINS_PX) + [1e-6] * 2)
    gains = np.linalg.solve(values.T @ values + ridge, values.T @ target[region])
    return np.clip(sum(gain * band for gain, band in zip(gains, bands, strict=True)), 0, 255).astype(np.float32)


def _matched_levels(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The image with its grey levels mapped so that the face's distribution is the target's."""
    levels, target_levels = np.sort(image[_WHOLE]), np.sort(target[_WHOLE])
    return np.interp(image, levels, target_levels).astype(np.float32)


def _local_correlation(crop: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Correlation of the detail around each pixel. As much as may be noise counts as alike."""
    a, b = _detail(crop, _COMPARED_PX), _detail(fitted, _COMPARED_PX)
    ab, aa, bb = (cv2.GaussianBlur(product, (0, 0), _LOCAL_PX) for product in (a * b, a * a, b * b))
    detail = float(aa[_WHOLE].mean())
    noise = min(NOISE, MAX_NOISE_SHARE * detail) + 1e-3
    correlation = (ab + noise) / (np.sqrt(aa * bb) + noise)
    sharpness = min(detail / (MIN_DETAIL * float(crop[_WHOLE].var()) + 1e-3), 1.0)
    return 1 - (1 - correlation) / max(sharpness, 1e-3)


def _detail(image: np.ndarray, sizes_px: tuple[float, float]) -> np.ndarray:
    """sizes_px: of detail, and of the light around it."""
    detail_px, light_px = sizes_px
    return cv2.GaussianBlur(image, (0, 0), detail_px) - cv2.GaussianBlur(image, (0, 0), light_px)


def _normalised_detail(image: np.ndarray, sizes_px: tuple[float, float]) -> np.ndarray:
    """Detail relative to its local contrast, which light changes little."""
    detail = _detail(image, sizes_px)
    return detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), sizes_px[1])) + 2.0)


def _ramp(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)
