"""Files of marked photographs: a table of all faces, one file a picture or a face, and overlays.

Into one folder, for a photograph NAME.jpg (NAME with its folder below the one that was named; where
two would have one name, the second keeps its suffix or gets a number):

    landmarks.csv     one row a face: image, face (from 0, as found), box_x1 … box_y2, score (of
                      the face detector, empty for given boxes), confidence (mean over the
                      landmarks), and x0, y0, c0, x1 …: place and confidence of each landmark
    NAME.json         the same of one picture, also where it has no face
    NAME.pts          its first face as 300W has them, 1-based; NAME.face1.pts … the others
    NAME.overlay.jpg  the picture with its points; those less sure than UNSURE are crosses

Places are px of the picture as it is shown upright: 0-based but for .pts, pixel centres at
integers. An overlay may be larger or smaller than its picture, so that points can be told apart.
"""

import csv
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from study.datasets.formats import write_pts
from study.landmarks import SCHEMES
from study.marking import look, overlay, photos

FORMATS = ("csv", "json", "pts")
TABLE = "landmarks.csv"
TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}  # names of any bytes
UNSURE = 0.5
BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
# px: the longer side of an overlay is between the first two, and a face's no less than the third
# where that leaves the second.
SMALL, LARGE, FACE = 640, 4096, 200


class PredictError(ValueError):
    """A marking that cannot start, or cannot write; the message names file and cause."""


# --- names ------------------------------------------------------------------------------------


def named(paths, out, troubles):
    """Photographs with the name that each one's results get below `out`.

    Args:
        paths: photographs and folders; a photograph named twice counts once.
        out: folder of the results, left out where it lies below one of those.
        troubles: list that gets a line for each folder that has no photograph or cannot be read.

    Returns:
        dict from Path to str, in the order of `paths`, within folders in natural order.
    """
    images, seen, taken = {}, set(), set()
    for path in map(Path, paths):
        for image, plain in _below(path, Path(out), troubles):
            place = os.path.realpath(image)  # Path.resolve raises where links go round
            if place not in seen:
                seen.add(place)
                images[image] = _free_name(plain, image.suffix, taken)
    return images


def _below(path, out, troubles):
    """(photograph, its name without suffix) of a path, or of all that a folder holds."""
    if not path.is_dir():
        return [(path, path.stem)]
    inside = out if out.resolve() != path.resolve() else None
    found, failed = photos.in_folder(path, without=inside)
    found = [image for image in found if not image.name.endswith(".overlay.jpg")]
    troubles += failed if failed or found else [f"{path}: no images in this folder"]
    return [(image, image.relative_to(path).with_suffix("").as_posix()) for image in found]


def _free_name(plain, suffix, taken):
    """The first name that is not taken: file systems may not tell upper from lower case.

    None ends as the names of second faces do.
    """
    names = [plain, plain + suffix, *(f"{plain}-{n}" for n in range(2, len(taken) + 3))]
    free = (name for name in names if name.casefold() not in taken)
    name = next(name for name in free if not re.search(r"\.face\d+$", name, re.IGNORECASE))
    taken.add(name.casefold())
    return name


def require_free(images, out, boxes=None):
    """Raises a PredictError where results would replace what may be no results.

    That is a .pts or .json file in a folder of photographs, which may be an annotation, one of
    the photographs, and the list of boxes itself.

    Args:
        images: as `named` gives them.
        out: folder of the results.
        boxes: path of a list of boxes, or anything else.
    """
    out = Path(out)
    if isinstance(boxes, str | Path) and Path(boxes).resolve() == (out / TABLE).resolve():
        raise PredictError(f"{boxes}: the list of boxes would be replaced: give another folder")
    own = {os.path.realpath(image) for image in images}
    folders = {os.path.dirname(image) for image in own}
    for name in images.values():
        if os.path.realpath(out / f"{name}.overlay.jpg") in own:
            raise PredictError(f"{out / name}.overlay.jpg: a photograph: give another folder")
        for suffix in ("pts", "json"):
            file = out / f"{name}.{suffix}"
            if file.exists() and os.path.dirname(os.path.realpath(file)) in folders:
                raise PredictError(
                    f"{file}: is there already, beside a photograph, and may be an annotation: "
                    "give another folder"
                )


def read_boxes(path, images):
    """A list of boxes: a CSV with the columns image and x1, y1, x2, y2 (or BOX), a row a face.

    An image is named by its path, or the end of it that no other image has. A `landmarks.csv`
    can be such a list.

    Args:
        path: the CSV.
        images: Paths that it may name.

    Returns:
        dict from Path to (B, 4) float64, of those that it names.

    Raises:
        PredictError: no such list, or a row that names no image, several, or no four numbers.
    """
    ends = defaultdict(list)
    for image in images:
        for count in range(1, len(image.parts) + 1):
            ends[image.parts[-count:]].append(image)
    found = defaultdict(list)
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            columns = _box_columns(path, rows.fieldnames or ())
            for row in rows:
                where = f"{path}: line {rows.line_num}"
                found[_image_of(row["image"], ends, where)].append(_box_of(row, columns, where))
    except OSError as error:
        raise PredictError(f"{path}: {error.strerror}") from error
    except csv.Error as error:
        raise PredictError(f"{path}: not a CSV file: {error}") from error
    return {image: np.array(boxes) for image, boxes in found.items()}


def _box_columns(path, names):
    for columns in (BOX, ("x1", "y1", "x2", "y2")):
        if {"image", *columns} <= set(names):
            return columns
    raise PredictError(f"{path}: its first line must name the columns image, x1, y1, x2, y2")


def _image_of(name, ends, where):
    matches = ends.get(Path(name or "").parts, [])
    if len(matches) != 1:
        count = "none" if not matches else str(len(matches))
        raise PredictError(f"{where}: {name!r} is {count} of the images")
    return matches[0]


def _box_of(row, columns, where):
    try:
        return [float(row[column]) for column in columns]
    except (TypeError, ValueError):
        said = ", ".join(str(row[column]) for column in columns)
        raise PredictError(f"{where}: {said} are not four numbers") from None


# --- files ------------------------------------------------------------------------------------


class Sink:
    """Writes marked pictures one at a time; a context in which the table is open.

    Args:
        out: folder, made where it is missing.
        meta: the `weights.Meta` of what marks them.
        formats: which of FORMATS to write.
        draw: whether to write overlays.
        written: dict that counts the files of each kind.

    Raises:
        PredictError: an unknown format, or a file or folder that cannot be written.
    """

    def __init__(self, out, meta, formats, draw, written):
        unknown = [name for name in formats if name not in FORMATS]
        if unknown:
            raise PredictError(f"format {unknown[0]!r} is unknown; there are {', '.join(FORMATS)}")
        self.out, self.meta, self.written = Path(out), meta, written
        self.formats, self.draw, self.file = formats, draw, None

    def __enter__(self):
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if "csv" in self.formats:
                self.file = open(self.out / TABLE, "w", newline="", **TEXT)
                self._line(header(self.meta.landmarks))
                self.written[TABLE] = 1
        except OSError as error:
            raise PredictError(f"{error.filename}: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        if self.file is not None:
            self.file.close()

    def write(self, path, name, image, faces):
        """One picture.

        Args:
            path: of the photograph.
            name: of its results, as `named` gives it.
            image: (H, W, 3) uint8.
            faces: list of `predict.Face`.
        """
        try:
            for number, face in enumerate(faces if self.file else ()):
                self._line(row(path, number, face))
            self._write_files(path, self.out / name, image, faces)
        except OSError as error:
            where = error.filename or self.out
            raise PredictError(f"{where}: {error.strerror or error}") from error

    def _line(self, values):
        csv.writer(self.file, lineterminator="\n").writerow(values)
        self.file.flush()

    def _write_files(self, path, base, image, faces):
        base.parent.mkdir(parents=True, exist_ok=True)
        if "json" in self.formats:
            text = json.dumps(record(path, image, faces, self.meta), indent=1)
            self._file(base, ".json").write_text(text + "\n")
        for number, face in enumerate(faces if "pts" in self.formats else ()):
            ending = f".face{number}.pts" if number else ".pts"
            write_pts(self._file(base, ending), face.points)
        if self.draw and faces:
            scheme = SCHEMES.get(self.meta.scheme)
            picture = Image.fromarray(drawn(image, faces, scheme))
            picture.save(self._file(base, ".overlay.jpg"), quality=92, subsampling=0)

    def _file(self, base, ending):
        """A file's path; it is counted."""
        kind = ".pts" if ending.endswith(".pts") else ending
        self.written[kind] = self.written.get(kind, 0) + 1
        return base.with_name(base.name + ending)


def header(landmarks):
    """The columns of the table of so many landmarks."""
    places = [f"{axis}{n}" for n in range(landmarks) for axis in "xyc"]
    return ["image", "face", *BOX, "score", "confidence", *places]


def row(path, number, face):
    """A face's line of the table: places to a hundredth of a px.

    Args:
        path: of the photograph.
        number: of the face in it, from 0.
        face: a `predict.Face`.
    """
    score = "" if face.score is None else f"{face.score:.3f}"
    start = [Path(path).as_posix(), number, *(f"{value:.2f}" for value in face.box), score]
    points = zip(face.points.tolist(), face.confidence.tolist(), strict=True)
    values = [text for (x, y), sure in points for text in (f"{x:.2f}", f"{y:.2f}", f"{sure:.3f}")]
    return [*start, f"{face.confidence.mean():.3f}", *values]


def record(path, image, faces, meta):
    """A picture's faces as what JSON holds.

    Args:
        path: of the photograph.
        image: (H, W, 3).
        faces: list of `predict.Face`.
        meta: a `weights.Meta`.
    """
    height, width = image.shape[:2]
    within = None if meta.calibration is None else meta.calibration.within
    return {
        "image": Path(path).as_posix(),
        "width": width,
        "height": height,
        "coordinates": "px of the upright picture, 0-based, pixel centres at integers",
        "scheme": meta.scheme,
        "confident_within": within,
        "weights": meta.about,
        "faces": [
            {
                "box": np.round(face.box, 3).tolist(),
                "score": face.score,
                "confidence": round(float(face.confidence.mean()), 4),
                "points": np.round(face.points, 3).tolist(),
                "confidences": np.round(face.confidence, 4).tolist(),
            }
            for face in faces
        ],
    }


def drawn(image, faces, scheme):
    """An overlay (H', W', 3) uint8, enlarged or shrunk until its points can be told apart.

    Args:
        image: (H, W, 3) uint8.
        faces: list of `predict.Face`.
        scheme: a `landmarks.Scheme`, or None.
    """
    height, width = image.shape[:2]
    boxes = [look.tight_box(face.points) for face in faces]
    smallest = min(max(1.0, (box[2:] - box[:2]).max()) for box in boxes)
    longest = max(height, width)
    share = min(max(1.0, SMALL / longest, FACE / smallest), LARGE / longest)
    size = max(round(width * share), 1), max(round(height * share), 1)
    kind = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(image, size, interpolation=kind) if share != 1 else image
    steps = np.array(size) / (width, height)
    for face in faces:
        points = (face.points + 0.5) * steps - 0.5
        picture = overlay.draw(picture, points, scheme, face.confidence >= UNSURE)
    return picture
