"""Boxes of a face detector, as a data set's publisher lists them: for scoring as users crop.

Two forms are read:

    lists   a line a face: image, annotation, x1, y1, x2, y2 (300W's official `*.DET` files)
    CSV     a header with `crop`, cdet_x1, cdet_y1, cdet_x2, cdet_y2: boxes carried over from the
            original photographs to the pictures that were cut from them
"""

import csv
from pathlib import Path

import numpy as np

from study.datasets.index import DatasetError, Problem

EDGES = ("x1", "y1", "x2", "y2")


def read(file, name="300W"):
    """The boxes of a file.

    Args:
        file: of either form, by its suffix: `.csv`, or a list.
        name: the data set's folder in a list's paths; ids begin after it.

    Returns:
        dict from a face's id, its image's path without extension, to (4,) x1, y1, x2, y2, px of
        the image.

    Raises:
        DatasetError: the file cannot be read, or lines that are no box; all of them at once.
    """
    file = Path(file)
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("boxes", [Problem(str(file), str(error))]) from None
    rows = _csv(text) if file.suffix == ".csv" else _list(text, name)
    found, problems = {}, []
    for number, image, values in rows:
        try:
            box = np.array([float(value) for value in values])
            if len(box) != 4 or not np.isfinite(box).all() or not (box[2:] > box[:2]).all():
                raise ValueError
        except (TypeError, ValueError):
            problems.append(Problem(f"{file}:{number}", f"{image}: no box: {values}"))
            continue
        found[str(Path(image).with_suffix(""))] = box
    if problems or not found:
        raise DatasetError("boxes", problems or [Problem(str(file), "holds no box")])
    return found


def _csv(text):
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        yield number, row.get("crop") or "", [row.get(f"cdet_{edge}") for edge in EDGES]


def _list(text, name):
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            image, _, *values = line.split()
            yield number, image.rpartition(f"{name}/")[2], values
