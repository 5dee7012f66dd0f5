"""Landmarks drawn into a picture: lines along the face's features, coloured by facial area."""

import itertools

import cv2
import numpy as np

from study.landmarks import SCHEMES

SCHEME = SCHEMES["ibug68"]
# From Okabe and Ito's palette, which the colour-blind can tell apart; sRGB.
COLORS = {
    "contour": (86, 180, 233),
    "eyebrows": (230, 159, 0),
    "nose": (0, 158, 115),
    "eyes": (240, 228, 66),
    "mouth": (204, 121, 167),
}
OTHER = (255, 255, 255)  # of landmarks of no such area
UNSURE = (213, 94, 0)
CLOSED = ("left eye", "right eye", "outer lip", "inner lip")
HALO = (20, 20, 20)  # under the lines, so that they show on every skin and background
SHARE = 1 / 130  # width of a line in longer sides of the landmarks' box
FINER = 4  # OpenCV takes points in 1/16 px: 2 to this power


def features(scheme=SCHEME):
    """The lines of a scheme: tuples of (area, landmark indices, whether the line is closed).

    Landmarks of one line are those in a row whose names differ in the last word alone.
    """
    parts = [name.rpartition(" ")[0] for name in scheme.names]
    area_of = {n: area for area, indices in scheme.areas.items() for n in indices}
    lines = []
    for part, group in itertools.groupby(range(scheme.count), key=parts.__getitem__):
        indices = tuple(group)
        lines.append((area_of.get(indices[0], ""), indices, part in CLOSED))
    return tuple(lines)


LINES = features()


def draw(image, points, scheme=SCHEME, sure=None):
    """A picture with a face's landmarks.

    Args:
        image: (H, W, 3) uint8 RGB; not written into.
        points: (N, 2) px, 0-based, pixel centres at integers; may lie outside.
        scheme: a `landmarks.Scheme` of N landmarks; None is points without lines.
        sure: (N,) bool, which landmarks are sure: discs in the colour of their area. The others
            are crosses in UNSURE. None is all.

    Returns:
        (H, W, 3) uint8.
    """
    drawn = np.array(image, order="C")
    lines = _lines(scheme, len(points))
    width = max(1, round(float(np.ptp(points, axis=0).max()) * SHARE))
    # OpenCV counts in 16 bits and more from here: a face far outside is not drawn there.
    fixed = np.round(np.clip(points, -1e4, 1e5) * 2**FINER).astype(np.int32)
    for color, extra in ((HALO, 2), (None, 0)):
        for area, indices, closed in lines:
            line = fixed[list(indices)][None]
            shade = color or COLORS.get(area, OTHER)
            cv2.polylines(drawn, line, closed, shade, width + extra, cv2.LINE_AA, FINER)
    for area, indices, _ in lines:
        for n in indices:
            if sure is None or sure[n]:
                size = 1.2 if len(indices) > 1 else 2.4  # no line shows where a lone point is
                radius = round(size * width * 2**FINER)
                shade = COLORS.get(area, OTHER)
                cv2.circle(drawn, fixed[n].tolist(), radius, shade, -1, cv2.LINE_AA, FINER)
            else:
                _cross(drawn, fixed[n], width)
    return drawn


def _lines(scheme, count):
    """The lines of a scheme; where it is None, as many single points."""
    if scheme is None:
        return tuple(("", (n,), False) for n in range(count))
    return LINES if scheme is SCHEME else features(scheme)


def _cross(drawn, center, width):
    """A cross with a dark edge; the centre is in the units of FINER."""
    reach = round(2.5 * width * 2**FINER)
    arms = [[center - (reach, way * reach), center + (reach, way * reach)] for way in (1, -1)]
    for shade, extra in ((HALO, 2), (UNSURE, 0)):
        for arm in np.array(arms, dtype=np.int32):
            cv2.polylines(drawn, arm[None], False, shade, width + extra, cv2.LINE_AA, FINER)
