"""Finding faces in a picture, and the square that the networks expect around them.

The detector is dlib's frontal one: five views of histograms of oriented gradients, inside the
package itself, so nothing is downloaded. It finds faces from the front and half turned, hardly any
from the side or behind a hand.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import dlib
import numpy as np
from tqdm.auto import tqdm

from study.datasets.formats import read_image

# Longer side, px, of the picture that is searched: first a coarse copy, which is cheap; only where
# that shows no face, one with four times the pixels. The detector's window is 80 px, so the first
# finds faces down to about a ninth of the picture's longer side, the second to an eighteenth. The
# finest, to a thirty-sixth, is for photographs of groups, and takes a second.
COARSE, FINE, FINEST = 640, 1280, 2560
ENLARGED = 2.0  # at most: beyond that a picture has no detail to find
# Score above which a box counts. dlib's own is 0. Of 300 of 300W's training faces (461 px crops),
# 0 finds 94.3 %, -0.2 finds 96.0 %, -0.3 finds 96.7 %; in 180 pictures without a face, 29 million
# px together, they find none, one and three.
THRESHOLD = -0.2
OVERLAP = 0.3  # intersection over union above which two boxes are of one face


class Box(NamedTuple):
    """A found face: edges in px of the picture (pixel 0 spans -0.5 to 0.5) and its score."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float


class Placement(NamedTuple):
    """Where the landmarks' tight box lies, given a found box, in sides of the found box.

    Attributes:
        dx, dy: from the found box's centre to that of the tight box.
        scale: longer side of the tight box.
    """

    dx: float
    dy: float
    scale: float


# Medians over the 1,948 that are found of 2,012 of 300W's training faces, by `measure`; 68 % of the
# faces stray from them by up to 0.108, 0.045 and 0.086. dx is 0.002, set to 0 as a mirrored face
# has -dx.
PLACEMENT = Placement(dx=0.0, dy=0.111, scale=1.024)


@cache
def _detector():
    return dlib.get_frontal_face_detector()


def find(image, fine=True):
    """Faces of a picture, the largest first.

    Args:
        image: (H, W, 3) uint8 RGB.
        fine: whether to search a second, larger copy where the coarse one shows no face.

    Returns:
        list of Box, empty where there is no face.

    Raises:
        ValueError: not such a picture.
    """
    _require_picture(image)
    for longest in (COARSE, FINE) if fine else (COARSE,):
        found = _search(image, longest)
        if found:
            return sorted(found, key=lambda box: box.x1 - box.x2)
    return []


def _require_picture(image):
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image is {image.shape} {image.dtype}; expected (H, W, 3) uint8")


def find_all(image):
    """All faces of a photograph, the largest first.

    Unlike `find`, which stops at the coarse copy where that shows a face, all copies up to the
    finest are searched, so that small faces beside a large one are found; of boxes that overlap,
    the one with the highest score is kept.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        list of Box, empty where there is no face.

    Raises:
        ValueError: not such a picture.
    """
    _require_picture(image)
    most = ENLARGED * max(image.shape[:2])  # copies that would be larger are one
    copies = sorted({min(longest, most) for longest in (COARSE, FINE, FINEST)})
    found = [box for longest in copies for box in _search(image, longest)]
    return sorted(without_overlaps(found), key=lambda box: box.x1 - box.x2)


def without_overlaps(boxes):
    """Boxes without those that overlap one of a higher score by more than OVERLAP.

    Args:
        boxes: list of Box.

    Returns:
        list of Box, the highest score first.
    """
    kept = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(overlap(box, other) <= OVERLAP for other in kept):
            kept.append(box)
    return kept


def overlap(one, other):
    """Intersection over union of two boxes x1, y1, x2, y2."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:4], other[2:4])
    shared = np.prod(np.clip(high - low, 0, None))
    first, second = (np.prod(np.subtract(box[2:4], box[:2])) for box in (one, other))
    return float(shared / (first + second - shared))


def _search(image, longest):
    """Boxes in a copy of the picture whose longer side is `longest`, if it may grow so far."""
    height, width = image.shape[:2]
    share = min(longest / max(height, width), ENLARGED)
    size = max(round(width * share), 1), max(round(height * share), 1)
    kind = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    copy = np.ascontiguousarray(cv2.resize(image, size, interpolation=kind))
    rectangles, scores, _ = _detector().run(copy, 0, THRESHOLD)
    step_x, step_y = width / size[0], height / size[1]
    return [
        Box(
            r.left() * step_x - 0.5,
            r.top() * step_y - 0.5,
            (r.right() + 1) * step_x - 0.5,  # dlib's last pixel belongs to the box
            (r.bottom() + 1) * step_y - 0.5,
            float(score),
        )
        for r, score in zip(rectangles, scores, strict=True)
    ]


def tight_box(box, placement=PLACEMENT):
    """Where the tight box of the 68 points is expected, given a found box.

    Args:
        box: x1, y1, x2, y2 in px, a score may follow.
        placement: a Placement.

    Returns:
        (4,) x1, y1, x2, y2 px, a square.
    """
    center, side = _center_and_side(box)
    middle = center + side * np.array([placement.dx, placement.dy])
    half = side * placement.scale / 2
    return np.concatenate([middle - half, middle + half])


def _center_and_side(box):
    low, high = np.asarray(box[:2], dtype=np.float64), np.asarray(box[2:4], dtype=np.float64)
    return (low + high) / 2, (high - low).max()


def fit(found, tight):
    """The placement that maps found boxes to tight ones, and how far faces stray from it.

    Args:
        found: (n, 4) x1, y1, x2, y2 px.
        tight: (n, 4) tight boxes of the same faces' points, px.

    Returns:
        (Placement of medians, Placement of half the range of the middle 68 %, which is the
        standard deviation where the offsets are normal).

    Raises:
        ValueError: no pair, or numbers that differ.
    """
    if len(found) != len(tight) or not len(found):
        raise ValueError(f"{len(found)} found boxes and {len(tight)} tight ones")
    rows = []
    for one, wanted in zip(found, tight, strict=True):
        (center, side), (middle, longer) = _center_and_side(one), _center_and_side(wanted)
        rows.append([*((middle - center) / side), longer / side])
    low, median, high = np.percentile(rows, [16, 50, 84], axis=0)
    return Placement(*median.tolist()), Placement(*((high - low) / 2).tolist())


def measure(index, root):
    """Fits the placement on the faces of an index, one face a picture.

    A found box belongs to a face where their centres are less than 0.3 of the tight box's longer
    side apart and their sides differ by less than a factor of two; other boxes are other faces.

    Args:
        index: table of `datasets.load`; give it training faces only.
        root: folder of its images.

    Returns:
        dict: faces, found (how many of them), placement and spread as from `fit`.
    """
    found, tight = [], []
    for row in tqdm(index.itertuples(), total=len(index), unit="face"):
        for box in find(np.asarray(read_image(Path(root) / row.image))):
            if belongs(box, row.box):
                found.append(box[:4])
                tight.append(row.box)
                break
    placement, spread = fit(found, tight)
    return {"faces": len(index), "found": len(found), "placement": placement, "spread": spread}


def belongs(box, tight):
    """Whether a found box is that of a face, (4,) tight box in px; see `measure`."""
    (center, side), (middle, longer) = _center_and_side(box), _center_and_side(tight)
    return np.hypot(*(center - middle)) < 0.3 * longer and 0.5 < side / longer < 2
