"""What a row of points.csv or an annotation of a COCO file says of a face, before it is judged."""

import math
from typing import NamedTuple

import numpy as np


class Entry(NamedTuple):
    """A face as a file has it.

    Attributes:
        place: file and line, or file and annotation, for messages.
        image: the image's name in the file.
        split: "train", "test", or "" where the file does not say.
        group: what stays on one side of a split with it; "" is the image alone.
        points: (N, 2) px, 0-based; NaN where a point is hidden.
        box: (4,) x1, y1, x2, y2 px, or None.
    """

    place: str
    image: str
    split: str
    group: str
    points: np.ndarray
    box: np.ndarray | None


class Wrong(ValueError):
    """An entry that cannot be read; the message is the cause."""


def number(value, name):
    """A finite float of a text or number.

    Raises:
        Wrong: it is none; says so of `name`.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise Wrong(f"{name} is {value!r}, no finite number")
    return found


def side(value):
    """A split as it is given: "train", "test" or "".

    Raises:
        Wrong: another one.
    """
    value = "" if value is None else str(value).strip()
    if value not in ("", "train", "test"):
        raise Wrong(f"split is {value!r}; there are train and test, or nothing")
    return value
