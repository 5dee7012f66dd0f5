"""Points of one's own in `points.csv`: a row a face.

    image,split,x_left eye,y_left eye,x_nose tip,y_nose tip
    photos/a.jpg,train,31.5,40.25,,

    image        path under the folder, or the bare name of an image anywhere below it
    x_NAME       px of the image file; both of a point empty where it is hidden
    y_NAME
    split        train or test; may be missing, and empty: see `study.datasets.own`
    group        may be missing: images of one group (a person, a video) stay on one side of splits
    box_x1 box_y1 box_x2 box_y2   px; read where scheme.yaml says `box: annotated`

Commas, UTF-8, a header. The first pixel's centre is at the `origin` of scheme.yaml, 0 by default.
"""

import csv
import io

import numpy as np

from study.datasets.index import Problem
from study.datasets.own.entries import Entry, Wrong, number, side

FILE = "points.csv"
EDGES = ("box_x1", "box_y1", "box_x2", "box_y2")
FREE = ("split", "group", *EDGES)  # columns that may be missing


def read(root, settings):
    """Faces of points.csv.

    Args:
        root: Path of the folder.
        settings: `scheme.Settings`.

    Returns:
        (entries, problems, left_out): left_out counts the rows without a single point.
    """
    try:
        text = (root / FILE).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return [], [Problem(FILE, "not a text file that can be read")], 0
    entries, problems, left_out, header, rows = [], [], 0, None, csv.reader(io.StringIO(text))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            return [], [*problems, Problem(f"{FILE}, line {rows.line_num}", str(error))], left_out
        place = f"{FILE}, line {rows.line_num}"
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = [cell.strip() for cell in row]
            causes = _of_header(header, settings)
            if causes:
                return [], [Problem(place, cause) for cause in causes], 0
            continue
        try:
            entry = _entry(place, header, row, settings)
        except Wrong as error:
            problems.append(Problem(place, str(error)))
            continue
        if np.isnan(entry.points).all():
            left_out += 1
        else:
            entries.append(entry)
    if header is None:
        problems.append(Problem(FILE, "empty file"))
    return entries, problems, left_out


def write(root, scheme, rows):
    """Writes points.csv as `read` reads it, `origin` 0; the same bytes for the same rows.

    Args:
        root: Path of the folder.
        scheme: the `study.landmarks.Scheme`.
        rows: (image, split, points (N, 2) px with NaN where hidden) of each face.
    """
    with open(root / FILE, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        axes = [f"{axis}_{name}" for name in scheme.names for axis in "xy"]
        writer.writerow(["image", "split", *axes])
        for image, split, points in rows:
            cells = ["" if np.isnan(value) else f"{value:.3f}" for value in np.ravel(points)]
            writer.writerow([image, split, *cells])


def _columns(settings):
    """The columns that must be there."""
    names = settings.scheme.names
    axes = [f"{axis}_{name}" for name in names for axis in "xy"]
    return ["image", *axes, *(EDGES if settings.box == "annotated" else ())]


def _of_header(header, settings):
    """What is wrong with the columns."""
    needed = _columns(settings)
    causes = [f"a second column {name!r}" for name in sorted(set(header)) if header.count(name) > 1]
    unknown = [name for name in header if name not in (*needed, *FREE)]
    known = ", ".join([*needed, *(name for name in FREE if name not in needed)])
    causes += [f"no such column: {name!r}; there are {known}" for name in unknown]
    return causes + [f"no column {name!r}" for name in needed if name not in header]


def _entry(place, header, row, settings):
    if len(row) != len(header):
        raise Wrong(f"{len(row)} fields, not {len(header)}")
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    if not cells["image"]:
        raise Wrong("image is empty")
    points = np.array([_point(cells, name) for name in settings.scheme.names], dtype=np.float64)
    box = None
    if settings.box == "annotated":
        box = np.array([number(cells[edge], edge) for edge in EDGES]) - settings.origin
    return Entry(
        place,
        cells["image"],
        side(cells.get("split")),
        cells.get("group", ""),
        points - settings.origin,
        box,
    )


def _point(cells, name):
    """(x, y) of a point in the file's px, NaN where both cells are empty."""
    values = {axis: cells[f"{axis}_{name}"] for axis in "xy"}
    empty = [axis for axis, value in values.items() if not value]
    if len(empty) == 2:
        return np.nan, np.nan
    if empty:
        raise Wrong(f"{empty[0]}_{name} is empty, and the other coordinate is not")
    return tuple(number(value, f"{axis}_{name}") for axis, value in values.items())
