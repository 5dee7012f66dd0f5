"""The index: a tidy table with one row a face, the same for every data set.

Columns:
    id           path under the root without extension, "#frame" appended for video
    split        "train" or "test"
    subset       "train", or the test subset that the face belongs to
    image        path under the root, with forward slashes
    frame        frame number in a video, as its annotation's name says; -1 for stills. In a video
                 file, frame k is the k-th that is decoded, from 1
    video        the video's name, "" for stills
    photograph   the photograph that the face is cut from; several faces can share one
    box          (4,) x1, y1, x2, y2 of the tight box of the points, px; of all points in the
                 file where the index holds a part of them; the annotated box in AFLW
    points       (N, 2) px of the image file, 0-based, pixel centres at integers; NaN where a
                 landmark is not visible
    visible      (N,) bool
    face_size    sqrt(width * height) of the box, px
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from study.landmarks import SCHEMES

COLUMNS = (
    "id",
    "split",
    "subset",
    "image",
    "frame",
    "video",
    "photograph",
    "box",
    "points",
    "visible",
    "face_size",
)
PRINTED = 20  # bad files that a message names; the rest are counted

# 300W itself has points a little outside; half a face outside is an annotation of another image.
OUTSIDE = 0.5  # of the face's size
COINCIDENT = 0.01  # of the face's size; eye corners nearer than this are no face


class Problem(NamedTuple):
    """A bad file and what is wrong with it."""

    file: str
    cause: str

    def __str__(self):
        return f"{self.file}: {self.cause}"


class DatasetError(ValueError):
    """A data set that cannot be used as it is.

    Attributes:
        problems: list of every Problem; the message prints the first 20 and counts the rest.
    """

    def __init__(self, title, problems):
        self.problems = list(problems)
        count = len(self.problems)
        head = f"{title}: {count} {'problem' if count == 1 else 'problems'}"
        super().__init__("\n".join([head, *listed(self.problems)]))


def cause_of(error, path):
    """An error's message without the file's name in front, which a Problem says anyway."""
    return str(error).removeprefix(f"{path}: ")


def listed(problems):
    """Lines that print the first 20 of a list of problems and say how many more there are."""
    lines = [f"  {problem}" for problem in problems[:PRINTED]]
    rest = len(problems) - len(lines)
    return lines + ([f"  and {rest} more"] if rest else [])


def face(
    *,
    id,
    split,
    subset,
    image,
    photograph,
    points,
    visible=None,
    frame=-1,
    video="",
    outline=None,
    box=None,
):
    """One row of the index as a dict; box and face_size follow from the points.

    Args:
        points: (N, 2) px, 0-based.
        visible: (N,) bool; None means all. The others' points become NaN.
        outline: (M, 2) px, points of the whole face where `points` are of a part of it; box and
            face_size follow from these.
        box: (4,) x1, y1, x2, y2 px of an annotated box, which comes before all points.
    """
    points = np.asarray(points, dtype=np.float64)
    if visible is None:
        visible = np.ones(len(points), dtype=bool)
    elif not np.all(visible):
        points = np.where(np.asarray(visible)[:, None], points, np.nan)
    if box is None:
        whole = points if outline is None else np.asarray(outline, dtype=np.float64)
        low, high = np.nanmin(whole, axis=0), np.nanmax(whole, axis=0)
    else:
        low, high = np.split(np.asarray(box, dtype=np.float64), 2)
    return {
        "id": id,
        "split": split,
        "subset": subset,
        "image": image,
        "frame": frame,
        "video": video,
        "photograph": photograph,
        "box": np.concatenate([low, high]),
        "points": points,
        "visible": visible,
        "face_size": float(np.sqrt(np.prod(high - low))),
    }


def table(faces):
    """The index of a list of `face` rows, in their order."""
    return pd.DataFrame(list(faces), columns=list(COLUMNS))


def fault(points, scheme, width, height, box=None):
    """What is wrong with a face's points, or None.

    Args:
        points: (n, 2) px, 0-based, finite; NaN where a landmark is not visible.
        scheme: the study.landmarks.Scheme that the points should follow.
        width, height: of the image, px.
        box: (4,) x1, y1, x2, y2 px, the annotated box; None where the points are the face.

    Returns:
        str: another number of points than the scheme's; no visible point; a box or, without
        one, points that span no area; the two points that errors are divided by in one place;
        or points further outside the image than half the face's size. None where
        all is well.
    """
    if len(points) != scheme.count:
        return f"{len(points)} points, not {scheme.count}"
    seen = points[~np.isnan(points).any(axis=-1)]
    if not len(seen):
        return "no point is visible"
    low, high = seen.min(axis=0), seen.max(axis=0)
    span = high - low if box is None else np.subtract(box[2:], box[:2])
    if (span <= 0).any():
        return "the points span no area" if box is None else "the box spans no area"
    face_size = np.sqrt(np.prod(span))
    if scheme.eye_corners is not None:
        left, right = points[list(scheme.eye_corners)]
        if np.linalg.norm(left - right) < COINCIDENT * face_size:
            return f"{_normalizer(scheme)} coincide"
    edge = np.array([width, height]) - 0.5
    outside = max((-0.5 - low).max(), (high - edge).max())
    if outside > OUTSIDE * face_size:
        return f"points up to {outside:.0f} px outside the {width}x{height} image"
    return None


def _normalizer(scheme):
    """The two landmarks whose distance divides errors, in words."""
    if scheme in SCHEMES.values():
        return "the outer eye corners"
    return " and ".join(scheme.names[n] for n in scheme.eye_corners)
