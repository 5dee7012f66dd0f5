"""Talking Face (FGNET): one person talking, 5,000 frames of 720 x 576 px, each a still on disk.

    franck_00000.jpg  franck_00000.pts  ...  franck_04999.jpg  franck_04999.pts

Its 68 points follow a markup of their own (15 on the contour, brows as closed loops, pupils), not
that of 300VW. Seven points mean the same in both; the index holds these seven alone, in the order
of the scheme "tf7". Its boxes are those of all 68, so that a crop holds the whole face as it does
for 300VW.
"""

import re
from pathlib import Path
from typing import NamedTuple

from study.datasets import formats
from study.datasets.index import DatasetError, Problem, cause_of, face, fault, table
from study.landmarks import SCHEMES

NAME = "TF"
SCHEME = SCHEMES["tf7"]
VIDEO = "franck"
FRAMES = 5000
MARKED = 68  # points in a file

# The seven landmarks among the points of Talking Face's files, and among the 68 of 300VW (0-based).
IN_FILES = (27, 29, 34, 32, 67, 48, 54)
IN_IBUG68 = (36, 39, 42, 45, 30, 48, 54)


class Folder(NamedTuple):
    """The one folder and the number of frames that it officially holds."""

    path: str
    split: str
    subset: str
    official: int


FOLDERS = (Folder("franck", "test", "TF", FRAMES),)


def read(root):
    """Index of a Talking Face folder.

    Missing frames are no error: `absent` names them. Images are not decoded here, only their
    headers are read.

    Args:
        root: the folder that holds franck_00000.jpg.

    Returns:
        pandas.DataFrame, see `study.datasets.index`, by frame; points are (7, 2).

    Raises:
        DatasetError: lists all that is wrong at once: a missing root or one without any frame,
            images without points, points without image, frames beyond the official ones,
            unreadable files, and points that cannot be right.
    """
    faces, problems = scan(root)
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return table(faces)


def scan(root):
    """What a Talking Face folder holds, good and bad.

    Returns:
        (faces, problems): `index.face` rows of the usable frames, and a Problem for each file
        that is not.
    """
    root = Path(root)
    if not root.is_dir():
        return [], [Problem(str(root), "no such folder")]
    images, annotations = _files(root, ".jpg"), _files(root, ".pts")
    if not images and not annotations:
        return [], [Problem(str(root), f"no {VIDEO}_00000.jpg, nor any other frame")]
    faces, problems = [], []
    for frame in sorted(images.keys() | annotations.keys()):
        file, marked, cause = _frame(root, frame, images.get(frame), annotations.get(frame))
        if cause:
            problems.append(Problem(file, cause))
            continue
        faces.append(
            face(
                id=f"{Path(images[frame]).stem}#{frame}",
                split="test",
                subset="TF",
                image=images[frame],
                frame=frame,
                video=VIDEO,
                photograph=VIDEO,
                points=marked[list(IN_FILES)],
                outline=marked,
            )
        )
    return faces, problems


def folder_of(face):
    """The path of the folder in FOLDERS that a row of the index belongs to."""
    return face["video"]


def absent(root):
    """Path of the folder -> numbers of the official frames that are not there; None for all."""
    there = {*_files(root, ".jpg"), *_files(root, ".pts")}
    gone = [str(frame) for frame in range(FRAMES) if frame not in there]
    return {VIDEO: None if len(gone) == FRAMES else gone}


def _files(root, suffix):
    """Frame -> name of its file with this suffix."""
    names = re.compile(rf"{VIDEO}_([0-9]{{5}}){re.escape(suffix)}", re.IGNORECASE)
    found = {}
    for file in sorted(Path(root).iterdir()) if Path(root).is_dir() else ():
        if match := names.fullmatch(file.name):
            found[int(match[1])] = file.name
    return found


def _frame(root, frame, image, annotation):
    """(file at fault, all 68 points, cause) of one frame; cause is None where all is well."""
    if annotation is None:
        return image, None, f"image without its points {VIDEO}_{frame:05d}.pts"
    if image is None:
        return annotation, None, "points without an image"
    if frame >= FRAMES:
        return image, None, f"the official frames end at {FRAMES - 1}"
    try:
        points = formats.read_pts(root / annotation)
    except (ValueError, OSError) as error:
        return annotation, None, cause_of(error, root / annotation)
    if len(points) != MARKED:
        return annotation, None, f"{len(points)} points, not {MARKED}"
    try:
        width, height = formats.image_size(root / image)
    except (ValueError, OSError) as error:
        return image, None, cause_of(error, root / image)
    return annotation, points, fault(points[list(IN_FILES)], SCHEME, width, height)
