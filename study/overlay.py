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
CLOSED = ("left eye", "right eye", "outer lip", "inner lip")
HALO = (20, 20, 20)  # under the lines, so that they show on every skin and background
SHARE = 1 / 130  # width of a line in longer sides of the landmarks' box
FINER = 4  # OpenCV takes points in 1/16 px: 2 to this power


def features(scheme=SCHEME):
    """The lines of a scheme: tuples of (area, landmark indices, whether the line is closed)."""
    parts = [name.rpartition(" ")[0] for name in scheme.names]
    area_of = {n: area for area, indices in scheme.areas.items() for n in indices}
    lines = []
    for part, group in itertools.groupby(range(scheme.count), key=parts.__getitem__):
        indices = tuple(group)
        lines.append((area_of[indices[0]], indices, part in CLOSED))
    return tuple(lines)


LINES = features()


def draw(image, points):
    """A picture with a face's landmarks.

    Args:
        image: (H, W, 3) uint8 RGB; not written into.
        points: (68, 2) px, 0-based, pixel centres at integers; may lie outside.

    Returns:
        (H, W, 3) uint8.
    """
    drawn = np.array(image, order="C")
    side = float(np.ptp(points, axis=0).max())
    width = max(1, round(side * SHARE))
    # OpenCV counts in 16 bits and more from here: a face far outside is not drawn there.
    fixed = np.round(np.clip(points, -1e4, 1e5) * 2**FINER).astype(np.int32)
    for color, extra in ((HALO, 2), (None, 0)):
        for area, indices, closed in LINES:
            line = fixed[list(indices)][None]
            shade = color or COLORS[area]
            cv2.polylines(drawn, line, closed, shade, width + extra, cv2.LINE_AA, FINER)
    radius = round(1.2 * width * 2**FINER)
    for area, indices, _ in LINES:
        for x, y in fixed[list(indices)].tolist():
            cv2.circle(drawn, (x, y), radius, COLORS[area], -1, cv2.LINE_AA, FINER)
    return drawn
