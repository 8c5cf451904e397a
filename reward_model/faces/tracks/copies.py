"""Whether a face is the reference image itself: shown still, panned, scaled, mirrored, warped, relit or with a moving
mouth.

Both aligned faces are compared as pixels. The reference is first fitted to the face by all changes that a copy can be
hidden by: an affine motion (`cv2.findTransformECC`), a smooth warp (optical flow), and a monotone map of grey levels.
What is left is the correlation of their detail. Another photograph of the person has other light, pose and expression,
which these changes can't imitate.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# side of the compared crops; at 112 nothing is told apart better, and it takes five times as long
SIDE_PX = 56
# faces less similar to the reference than this are no copies; the least that copies reach is 0.6
MIN_SIMILARITY = 0.5
# correlation after a few steps of the affine fit below which it is not continued: copies are above 0.98 by then
MIN_FIRST_FIT = 0.9
# correlations from which a face begins to count as a copy, and from which it is one: of the whole face after all
# changes, and of forehead, eyes and nose after the affine motion, which a moving mouth leaves as they are. Studio
# portraits of one person in one session, filmed well and badly, reach 0.993 and 0.993 in one of twenty frames.
WHOLE_RANGE = (0.993, 0.996)
UPPER_RANGE = (0.993, 0.996)
# standard deviations in pixels: of detail while it is fitted, of detail that is compared, of the light around both, of
# the smallest part that a warp moves by itself, and of the blur by which a copy may differ
_FITTED_PX, _COMPARED_PX, _WARP_PX = (0.75, 4.0), (1.2, 5.0), 5.0
_BLURS_PX = (0.0, 0.7, 1.2)
_FIRST_STEPS, _STEPS = 5, 25
# of cv2.findTransformECC: side of its smoothing filter in pixels
_FILTER_PX = 3
# share of certain copies of the reference from which other frames are looked at as the rest of a loop
MIN_LOOP_SHARE, CERTAIN_COPY = 0.25, 0.9
_Y, _X = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)


def _ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    return ((_X - x) / width) ** 2 + ((_Y - y) / height) ** 2 <= 1


# pixels of the face without hair and background, which belong to the body that a face is pasted on
_WHOLE = _ellipse(28, 35, 16, 20)
# of it forehead, eyes and nose
_UPPER = _ellipse(28, 28, 17, 15) & (_Y < 39)
_UPPER_MASK = _UPPER.astype(np.uint8) * 255


def clip_copies(crops: Sequence[np.ndarray], reference_SS: np.ndarray, similarities: Sequence[float]) -> list[float]:
    """For each crop of a person, the share to which it is a copy, 0..1.

    similarities: of each crop to the reference. Where a part of a clip copies the reference, the frames that hold one
    other photograph count as copies, too: a loop of two photographs is no more of a clip than one photograph.
    """
    copies = [
        copy_share(crop, reference_SS) if similarity >= MIN_SIMILARITY else 0.0
        for crop, similarity in zip(crops, similarities, strict=True)
    ]
    num_certain = sum(copied >= CERTAIN_COPY for copied in copies)
    others = [n for n, copied in enumerate(copies) if copied < CERTAIN_COPY]
    if num_certain >= MIN_LOOP_SHARE * len(copies) and len(others) > 1:
        middle = others[len(others) // 2]
        held = {n: copy_share(crops[n], crops[middle]) for n in others}
        # other frames that differ among themselves are a clip that moves
        if np.mean(list(held.values())) >= CERTAIN_COPY:
            copies = [max(copied, held.get(n, 0.0)) for n, copied in enumerate(copies)]
    return copies


def copy_share(crop_SS: np.ndarray, reference_SS: np.ndarray) -> float:
    """0 for another image, 1 for a copy of the reference or of its mirror image.

    Both uint8 grey [SIDE_PX, SIDE_PX], aligned by their landmarks.
    """
    crop, reference = crop_SS.astype(np.float32), reference_SS.astype(np.float32)
    return max(_copy_share(crop, reference), _copy_share(crop, np.ascontiguousarray(reference[:, ::-1])))


def _copy_share(crop: np.ndarray, reference: np.ndarray) -> float:
    affine = _affine_fit(_detail(crop, _FITTED_PX), _detail(reference, _FITTED_PX))
    if affine is None:
        return 0.0
    moved = cv2.warpAffine(
        reference, affine, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    warped = _warped(_matched_levels(moved, crop), crop)
    detail = _detail(crop, _COMPARED_PX)
    whole, upper = (
        max(_correlation(detail, _blurred_detail(fitted, crop, blur), region) for blur in _BLURS_PX)
        for fitted, region in ((warped, _WHOLE), (moved, _UPPER))
    )
    return max(_ramp(whole, WHOLE_RANGE), _ramp(upper, UPPER_RANGE))


def _blurred_detail(image: np.ndarray, crop: np.ndarray, blur_px: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px else image
    return _detail(_matched_levels(blurred, crop), _COMPARED_PX)


def _detail(image: np.ndarray, sizes_px: tuple[float, float]) -> np.ndarray:
    """Detail relative to its local contrast, which light changes little. sizes_px: of detail, and of the light."""
    detail_px, light_px = sizes_px
    band = cv2.GaussianBlur(image, (0, 0), detail_px) - cv2.GaussianBlur(image, (0, 0), light_px)
    contrast = cv2.GaussianBlur(band * band, (0, 0), light_px)
    return band / (np.sqrt(contrast) + 2.0)


def _affine_fit(detail: np.ndarray, reference: np.ndarray) -> np.ndarray | None:
    """[2, 3] float32; None where there is no fit, or none that a copy would have."""
    affine: np.ndarray = np.eye(2, 3, dtype=np.float32)
    try:
        for steps in (_FIRST_STEPS, _STEPS):
            criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
            fit, fitted = cv2.findTransformECC(
                detail, reference, affine, cv2.MOTION_AFFINE, criteria, _UPPER_MASK, _FILTER_PX
            )
            affine = np.asarray(fitted)
            if fit < MIN_FIRST_FIT:
                return None
    except cv2.error:  # it doesn't converge for images that have nothing in common
        return None
    return affine


def _warped(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The image moved towards the target by a smooth optical flow."""
    flow_estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    from_levels, to_levels = (
        np.clip(_detail(x, _FITTED_PX) * 40 + 128, 0, 255).astype(np.uint8) for x in (target, image)
    )
    still_HW2 = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    flow_HW2 = cv2.GaussianBlur(flow_estimator.calc(from_levels, to_levels, still_HW2), (0, 0), _WARP_PX)
    return cv2.remap(
        image, _X + flow_HW2[..., 0], _Y + flow_HW2[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _matched_levels(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The image with its grey levels mapped so that the face's distribution is the target's."""
    levels, target_levels = np.sort(image[_WHOLE]), np.sort(target[_WHOLE])
    return np.interp(image, levels, target_levels).astype(np.float32)


def _correlation(a: np.ndarray, b: np.ndarray, region: np.ndarray) -> float:
    x, y = a[region] - a[region].mean(), b[region] - b[region].mean()
    return float((x * y).sum() / np.sqrt(max(float((x * x).sum() * (y * y).sum()), 1e-12)))


def _ramp(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)
