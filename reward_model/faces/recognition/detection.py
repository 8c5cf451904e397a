"""Face detection: YuNet through OpenCV, at a capped resolution."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

from .model_files import YUNET, ModelFile, bundled


@dataclass(frozen=True, eq=False)
class Detection:
    """A detected face. Coordinates are pixels of the image at full resolution."""

    box_xywh: tuple[float, float, float, float]
    # confidence, 0..1
    score: float
    # [5, 2] float32: the eyes, the tip of the nose, the corners of the mouth
    landmarks_52: np.ndarray


@dataclass(frozen=True)
class DetectorConfig:
    # images with a longer side above this are shrunk for detection only; crops come from the full image
    longer_side_px: int = 640
    # YuNet's confidence, sqrt(class * objectness)
    min_score: float = 0.7
    # boxes that overlap more than this are one face
    nms_iou: float = 0.3
    # an image without a face is tried once more with a grey border, this share of each side wide: the detector does not
    # recognize a face that fills the image without surroundings
    retry_border: float = 0.5
    # level of the border
    grey: int = 128
    # the network halves its input five times
    min_side_px: int = 32


class FaceDetector:
    """YuNet (Wu, Peng and Yu 2023). OpenCV's detector object is not thread-safe, so each thread gets its own."""

    def __init__(self, config: DetectorConfig | None = None, model: ModelFile | None = None):
        self.config = config or DetectorConfig()
        self.model = model or bundled(YUNET)
        self._buffer = np.frombuffer(self.model.data, np.uint8)
        self._local = threading.local()

    def detect(self, image_HWC: np.ndarray) -> list[Detection]:
        """The faces of a uint8 RGB image of any size, largest first."""
        return self._detect(image_HWC, 0, 0) or self._detect(image_HWC, *self._border(image_HWC))

    def _border(self, image_HWC: np.ndarray) -> tuple[int, int]:
        """(above and below, left and right) in pixels."""
        height, width = image_HWC.shape[:2]
        return round(height * self.config.retry_border), round(width * self.config.retry_border)

    def _detect(self, image_HWC: np.ndarray, border_y: int, border_x: int) -> list[Detection]:
        config = self.config
        height, width = image_HWC.shape[:2]
        scale = min(1.0, config.longer_side_px / max(height + 2 * border_y, width + 2 * border_x))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        small_HWC = image_HWC if scale == 1 else cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
        left, top = round(border_x * scale), round(border_y * scale)
        right = max(left, config.min_side_px - left - size[0])
        bottom = max(top, config.min_side_px - top - size[1])
        grey = (config.grey,) * 3
        bgr_HWC = cv2.cvtColor(np.ascontiguousarray(small_HWC), cv2.COLOR_RGB2BGR)
        bgr_HWC = cv2.copyMakeBorder(bgr_HWC, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
        detector = self._thread_detector()
        detector.setInputSize(bgr_HWC.shape[1::-1])
        rows = detector.detect(bgr_HWC)[1]
        if rows is None:
            return []
        # both axes were rounded on their own
        to_full = np.array([width / size[0], height / size[1]])
        corner = np.array([left, top])
        detections = []
        for row in rows.astype(np.float64):
            x, y = (row[:2] - corner) * to_full
            w, h = row[2:4] * to_full
            landmarks_52 = ((row[4:14].reshape(5, 2) - corner) * to_full).astype(np.float32)
            detections.append(Detection((x, y, w, h), float(row[14]), landmarks_52))
        return sorted(detections, key=lambda face: (-face.box_xywh[2] * face.box_xywh[3], face.box_xywh))

    def _thread_detector(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._local, "detector"):
            # OpenCV 5 warns on stderr whenever the image's size changes; nothing else here uses OpenCV's log
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
            self._local.detector = cv2.FaceDetectorYN.create(
                "onnx", self._buffer, np.empty(0, np.uint8), (320, 320), self.config.min_score, self.config.nms_iou
            )
        return self._local.detector
