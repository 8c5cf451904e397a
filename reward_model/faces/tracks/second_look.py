"""Second look at frames in which a track has no face: less confident boxes where the face was last seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..recognition.detection import Detection
from ..recognition.face import Face
from .linking import TrackRule, link, nearness_of


def second_look(
    frames: Sequence[Sequence[Face]],
    faint: Sequence[Sequence[Detection]],
    rule: TrackRule,
    embed: Callable[[int, Detection], Face],
) -> list[list[Face]]:
    """For each frame the faint boxes that are faces of open tracks which have none there.

    `embed` makes a face of a box in the frame of that index; it is called only for the box nearest to the last place of
    a track, and only if that box could be its face.
    """
    last: dict[int, tuple[int, Face]] = {}
    added: list[list[Face]] = []
    for t, (faces, numbers) in enumerate(zip(frames, link(frames, rule), strict=True)):
        added.append([])
        boxes = list(faint[t])
        for number, (s, face) in last.items():
            if number in numbers or t - s > rule.max_gap_frames + 1 or not boxes:
                continue
            box = max(boxes, key=lambda box: nearness_of(face, box))
            nearness = nearness_of(face, box) * 0.5 ** (t - s - 1)
            if nearness + rule.similarity_weight < rule.min_faint_affinity:
                continue
            candidate = embed(t, box)
            similarity = max(float((face.embedding_D.astype(float) * candidate.embedding_D).sum()), 0.0)
            if nearness + rule.similarity_weight * similarity >= rule.min_faint_affinity:
                boxes.remove(box)
                added[t].append(candidate)
        last |= {number: (t, face) for face, number in zip(faces, numbers, strict=True)}
    return added
