"""Five-point face alignment: a similarity transform that moves eyes, nose and mouth to where face networks expect them.

Suffix 52: five landmarks with x and y.
"""

from __future__ import annotations

import cv2
import numpy as np

# landmarks of an aligned 112 x 112 face: the ArcFace template (Deng et al., arXiv 1801.07698), which SFace shares.
TEMPLATE_52 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
TEMPLATE_SIZE_PX = 112


def similarity_transform(source_52: np.ndarray, target_52: np.ndarray) -> np.ndarray:
    """[2, 3] float64: rotation, uniform scale and shift from source to target with the least squared error.

    Umeyama 1991, equations 40 to 42; without reflection.
    """
    source_mean, target_mean = source_52.mean(0), target_52.mean(0)
    source, target = source_52 - source_mean, target_52 - target_mean
    u, s, vt = np.linalg.svd(target.T @ source / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = u @ np.diag(signs) @ vt
    scale = (s * signs).sum() / max(source.var(0).sum(), 1e-12)
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


def align(image_HWC: np.ndarray, landmarks_52: np.ndarray, size_px: int = TEMPLATE_SIZE_PX) -> np.ndarray:
    """The aligned face as [size_px, size_px, 3] uint8, from the image at full resolution, black outside of it."""
    target_52 = TEMPLATE_52 * (size_px / TEMPLATE_SIZE_PX)
    matrix = similarity_transform(landmarks_52.astype(np.float64), target_52)
    return cv2.warpAffine(image_HWC, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
