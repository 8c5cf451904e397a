"""Face detection by YuNet, at a capped resolution.

The network runs in onnxruntime, in half the time that OpenCV takes for it. Reading of its outputs and suppression of
overlapping boxes are those of OpenCV's `FaceDetectorYN`.

N anchors: the cells of a grid of one stride, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .graphs import dequantize_weights, free_image_size, load_graph
from .model_files import YUNET, ModelFile, bundled
from .sessions import make_session

# pixels of a cell of the network's three grids; their outputs are called cls_8, obj_8 and so on
_STRIDES = (8, 16, 32)
_OUTPUTS = [f"{part}_{stride}" for stride in _STRIDES for part in ("cls", "obj", "bbox", "kps")]
# boxes of an image that are compared with each other, the most confident first; OpenCV's number
_MAX_BOXES = 5000


@dataclass(frozen=True, eq=False)
class Detection:
    """A detected face. Coordinates are pixels of the image at full resolution."""

    box_xywh: tuple[float, float, float, float]
    # confidence, 0..1
    score: float
    # [5, 2] float32: the eyes, the tip of the nose, the corners of the mouth
    landmarks_52: np.ndarray

    @property
    def area_px(self) -> float:
        return self.box_xywh[2] * self.box_xywh[3]


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
    """YuNet (Wu, Peng and Yu 2023). Safe to call from several threads at once."""

    def __init__(self, config: DetectorConfig | None = None, model: ModelFile | None = None, device: str = "cpu"):
        """`device`: one that `face_device` returned. ModelFileError for an unusable model."""
        self.config = config or DetectorConfig()
        self.model = model or bundled(YUNET)
        proto = load_graph(self.model)
        dequantize_weights(proto)
        free_image_size(proto)
        self._input = proto.graph.input[0].name
        self._session = make_session(proto, device, any_size=True)

    def detect(self, image_HWC: np.ndarray) -> list[Detection]:
        """The faces of a uint8 RGB image of any size, largest first."""
        return self.detect_faint(image_HWC, self.config.min_score)[0]

    def detect_faint(self, image_HWC: np.ndarray, min_score: float) -> tuple[list[Detection], list[Detection]]:
        """The faces, as `detect`, and boxes of at least `min_score` that are less confident than a face.

        Both come from one run of the network. Boxes do not overlap by more than the config allows, so that no faint one
        lies on a face. Faces that only a border shows come without faint boxes.
        """
        boxes = self._detect(image_HWC, 0, 0, min_score)
        faces = [box for box in boxes if box.score >= self.config.min_score]
        faint = [box for box in boxes if box.score < self.config.min_score]
        if faces:
            return faces, faint
        faces = self._detect(image_HWC, *self._border(image_HWC), self.config.min_score)
        return faces, [] if faces else faint

    def _border(self, image_HWC: np.ndarray) -> tuple[int, int]:
        """(above and below, left and right) in pixels."""
        height, width = image_HWC.shape[:2]
        return round(height * self.config.retry_border), round(width * self.config.retry_border)

    def _detect(self, image_HWC: np.ndarray, border_y: int, border_x: int, min_score: float) -> list[Detection]:
        config = self.config
        height, width = image_HWC.shape[:2]
        scale = min(1.0, config.longer_side_px / max(height + 2 * border_y, width + 2 * border_x))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image_HWC = np.ascontiguousarray(image_HWC)
        small_HWC = image_HWC if scale == 1 else cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
        left, top = round(border_x * scale), round(border_y * scale)
        right = max(left, config.min_side_px - left - size[0])
        bottom = max(top, config.min_side_px - top - size[1])
        if top or left or bottom or right:
            grey = (config.grey,) * 3
            small_HWC = cv2.copyMakeBorder(small_HWC, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
        # both axes were rounded on their own
        to_full = np.array([width / size[0], height / size[1]])
        corner = np.array([left, top])
        detections = []
        for row in self._rows(small_HWC, min_score).astype(np.float64):
            x, y = (row[:2] - corner) * to_full
            w, h = row[2:4] * to_full
            landmarks_52 = ((row[4:14].reshape(5, 2) - corner) * to_full).astype(np.float32)
            detections.append(Detection((x, y, w, h), float(row[14]), landmarks_52))
        return sorted(detections, key=lambda face: (-face.box_xywh[2] * face.box_xywh[3], face.box_xywh))

    def _rows(self, image_HWC: np.ndarray, min_score: float) -> np.ndarray:
        """[faces, 15] float32 of an image of the network's size: x, y, w, h, the five landmarks, confidence."""
        height, width = image_HWC.shape[:2]
        coarsest = _STRIDES[-1]
        bottom, right = -height % coarsest, -width % coarsest
        if bottom or right:
            image_HWC = cv2.copyMakeBorder(image_HWC, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        # BGR, levels 0..255
        outputs = self._session.run(_OUTPUTS, {self._input: cv2.dnn.blobFromImage(image_HWC, swapRB=True)})
        grids = zip(_STRIDES, *(outputs[part::4] for part in range(4)), strict=True)
        rows = np.concatenate(
            [
                _decode(stride, (width + right) // stride, classes[0], objects[0], boxes[0], landmarks[0])
                for stride, classes, objects, boxes, landmarks in grids
            ]
        )
        rows = rows[rows[:, 14] >= min_score]
        if not len(rows):
            return rows
        whole = rows[:, :4].astype(np.int32).tolist()  # pixels, as in OpenCV
        kept = cv2.dnn.NMSBoxes(whole, rows[:, 14].tolist(), min_score, self.config.nms_iou, 1.0, _MAX_BOXES)
        return rows[np.array(kept, dtype=int).ravel()]


def _decode(
    stride: int,
    columns: int,
    class_N1: np.ndarray,
    object_N1: np.ndarray,
    box_N4: np.ndarray,
    landmarks_N10: np.ndarray,
) -> np.ndarray:
    """[N, 15] float32, as `FaceDetector._rows`, from the outputs of one grid."""
    index_N = np.arange(len(box_N4))
    cell_N2 = np.stack([index_N % columns, index_N // columns], 1).astype(np.float32)
    side = np.float32(stride)
    size_N2 = np.exp(box_N4[:, 2:]) * side
    corner_N2 = (cell_N2 + box_N4[:, :2]) * side - size_N2 / 2
    landmarks_N10 = (landmarks_N10 + np.tile(cell_N2, 5)) * side
    score_N1 = np.sqrt(class_N1.clip(0, 1) * object_N1.clip(0, 1))
    return np.concatenate([corner_N2, size_N2, landmarks_N10, score_N1], 1)
