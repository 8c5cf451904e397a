"""The peer of `face-tracks`: similarities of faces by OpenCV's own YuNet and SFace classes, one frame after the other.

P people, F faces of a frame.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from reward_model.faces.frame_sampling import FACE_TRACKS
from reward_model.faces.recognition.detection import DetectorConfig
from reward_model.faces.recognition.graphs import load_graph
from reward_model.faces.recognition.model_files import SFACE, YUNET, bundled


class OpenCvScript:
    """Networks are loaded once, outside the measured time; OpenCV chooses its threads."""

    def __init__(self, longer_side_px: int | None = None):
        """Detection in whole frames, or in frames that are shrunk to this longer side."""
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        config, none = DetectorConfig(), np.empty(0, np.uint8)
        self._longer_side_px = longer_side_px
        self._detector = cv2.FaceDetectorYN.create(
            "onnx", np.frombuffer(bundled(YUNET).data, np.uint8), none, (320, 320), config.min_score, config.nms_iou
        )
        # OpenCV 5 refuses the file itself: it lists inputs that nothing reads
        sface = load_graph(bundled(SFACE)).SerializeToString()
        self._recognizer = cv2.FaceRecognizerSF.create("onnx", np.frombuffer(sface, np.uint8), none)

    def similarities(self, references: list[Path], clip: Path) -> np.ndarray:
        """[P] mean cosine similarity over the frames that `face-tracks` looks at, 0 where a person has no face."""
        people_PD = [self._embeddings(cv2.imread(str(path)))[0] for path in references]
        frames = _frames(clip)
        similarity_P = np.zeros(len(people_PD))
        for frame_HWC in frames:
            faces_FD = self._embeddings(frame_HWC)
            if not faces_FD:
                continue
            similarity_FP = np.array([[self._recognizer.match(f, p) for p in people_PD] for f in faces_FD])
            faces, people = linear_sum_assignment(similarity_FP, maximize=True)
            similarity_P[people] += similarity_FP[faces, people]
        return similarity_P / len(frames)

    def _embeddings(self, image_HWC: np.ndarray) -> list[np.ndarray]:
        """Of all faces of a BGR image, the largest first."""
        height, width = image_HWC.shape[:2]
        scale = min(1.0, (self._longer_side_px or max(height, width)) / max(height, width))
        size = round(width * scale), round(height * scale)
        small_HWC = image_HWC if scale == 1 else cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
        self._detector.setInputSize(size)
        rows = self._detector.detect(small_HWC)[1]
        if rows is None:
            return []
        rows[:, :14] *= np.tile([width / size[0], height / size[1]], 7)
        rows = rows[np.argsort(-rows[:, 2] * rows[:, 3])]
        return [self._recognizer.feature(self._recognizer.alignCrop(image_HWC, row)) for row in rows]


def _frames(clip: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(clip))
    num_frames, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    selected = set(FACE_TRACKS.indices(num_frames, fps))
    frames = []
    for index in range(num_frames):
        capture.grab()
        if index in selected:
            frames.append(capture.retrieve()[1])
    capture.release()
    return frames
