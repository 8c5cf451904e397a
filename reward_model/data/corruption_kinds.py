"""Names, weights and severity ranges of the identity corruptions that generated clips carry.

A severity s lies in (0, 1]; below a kind's `min_severity` a viewer would not notice it, so it is not used. The quality
of a clip is minus the sum of weight x severity over its corruptions: 0 for an original, whatever its light, camera and
compression.

name           weight  least  what the severity means
wrong-person     1.0    0.3   every person is replaced: below 0.7 by a look-alike with the same hair and colours, whose
                              face differs more the higher s is; from 0.7 on by any other person
one-replaced     0.9    0.3   the same for one person of two or three
exchanged        0.9    0.4   two people have each other's faces for the last s of the clip; from 0.8 on all of it
missing          0.9    0.4   one person is absent for the last s of the clip; from 0.8 on for all of it
duplicated       0.8    0.4   one person appears twice, in another's place or in addition, for the last s; from 0.8 on
                              all of it
drift            0.8    0.4   from start to end the person becomes another, 0.3 + 0.7 s of the way
switch           0.9    0.3   in mid-clip the person is another from one frame to the next; s as for wrong-person
face-damage      0.7    0.4   faces are blurred or warped, more strongly and in more frames; from 0.6 on all faces
look-changed     0.6    0.4   hair or clothes change colour, more the higher s is; above 0.6 also cut or pattern; above
                              0.85 both hair and clothes
frozen           0.5    0.5   pose and expression are the reference's throughout, s of the way to wholly still
resolution       0.5    0.5   detail is lost: 1 / (1 + 5 s) of the pixels per side remains

The functions that apply them to rendered people are in `data.people.corruptions`.
"""

from __future__ import annotations

from dataclasses import dataclass

# what decides a pair of equally good clips: light, camera and compression only
NUISANCE = "nuisance"
# {name of a kind: severity}; empty for an original clip
Severities = dict[str, float]


@dataclass(frozen=True)
class CorruptionKind:
    # quality lost at severity 1
    weight: float
    # smallest severity in use, in (0, 1]
    min_severity: float
    # smallest number of reference people that it applies to
    min_people: int = 1
    # True if it changes who is there, False if it changes how people look
    structural: bool = True


# the order is part of trained checkpoints: outputs of auxiliary losses follow it
CORRUPTION_KINDS: dict[str, CorruptionKind] = {
    "wrong-person": CorruptionKind(1.0, 0.3),
    "one-replaced": CorruptionKind(0.9, 0.3, min_people=2),
    "exchanged": CorruptionKind(0.9, 0.4, min_people=2),
    "missing": CorruptionKind(0.9, 0.4),
    "duplicated": CorruptionKind(0.8, 0.4),
    "drift": CorruptionKind(0.8, 0.4),
    "switch": CorruptionKind(0.9, 0.3),
    "face-damage": CorruptionKind(0.7, 0.4, structural=False),
    "look-changed": CorruptionKind(0.6, 0.4, structural=False),
    "frozen": CorruptionKind(0.5, 0.5, structural=False),
    "resolution": CorruptionKind(0.5, 0.5, structural=False),
}


def quality(severities: Severities) -> float:
    """Minus the weighted sum of severities: 0 for an original clip, lower for worse ones."""
    return -sum(CORRUPTION_KINDS[name].weight * severity for name, severity in severities.items()) or 0.0


def resolution_share(severity: float) -> float:
    """The share of the pixels per side that the corruption `resolution` leaves."""
    return 1 / (1 + 5 * severity)
