"""AFLW (Köstinger et al., 2011) in the layout of its 19-point release (Zhu et al., 2016).

    AFLWinfo_release.mat                       all annotations: 24,386 faces in 21,123 images
    data/flickr/0/image00002.jpg  2/  3/       the images

Row i of the .mat is a face:

    nameList  (R, 1) cells   the image, such as 0/image00002.jpg, under one of IMAGES below
    data      (R, 38)        the x of the 19 points, then their y, px
    mask_new  (R, 19)        whether a point is visible; the others are guesses and are not read
    bbox      (R, 4)         x1, x2, y1, y2 px of the annotated face box, a square but for eight
    ra        (1, R)         a permutation, 1-based: the first 20,000 are to train, the rest to test

Is the first pixel 0 or 1? **Unknown; chosen: 0, so that the numbers are read as they stand.** The
file does not say. Its boxes are whole numbers that run from -913 up, past 0 and 1 without a step in
how often either occurs, since they reach beyond images. Visible points lie at exactly 0 four times
(a chin, which annotators set to whole px, among them), at exactly 1 once, and 21 coordinates are
negative: a tool that counts from 1 does not give 0. That favours 0 and proves nothing. The lists
and .pts files that others made from it hold the same numbers, unshifted. A wrong guess moves all
points by one px along each axis, 0.7 % of the median face (190 px): training learns that along y,
and along x mirroring averages it away, at the price of as much blur.

Official quirks, kept: of the 21,123 images 800 hold faces of both sides of the split.
"""

import json
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from study.datasets import formats
from study.datasets.index import DatasetError, Problem, cause_of, face, fault, table
from study.landmarks import SCHEMES

NAME = "AFLW"
SCHEME = SCHEMES["aflw19"]
FILE = "AFLWinfo_release.mat"
IMAGES = ("data/flickr", "flickr", "")  # where under the root the .mat's names are looked for
SPLIT = "split.json"  # beside a .mat that is not the official one: {"train": how many of `ra`}
TRAIN, TEST = 20000, 4386


class Folder(NamedTuple):
    """A side of the official split; its faces lie in no folder of their own."""

    path: str
    split: str
    subset: str
    official: int


FOLDERS = (Folder("train", "train", "train", TRAIN), Folder("test", "test", "AFLW", TEST))


def read(root, images=True, train=None):
    """Index of an AFLW folder.

    A face's id is its image's name without the suffix, a hyphen and the face's row in the .mat,
    from 0: `0/image00002-7135`. Images are not decoded here, only their headers are read.

    Args:
        root: the folder that holds AFLWinfo_release.mat.
        images: whether the images must be there. False reads the annotations alone: `image` is
            then the .mat's name of it, and nothing is held against the images' sizes.
        train: how many of `ra` are to train; None is what split.json beside the .mat says, and
            the official 20,000 where there is none.

    Returns:
        pandas.DataFrame, see `study.datasets.index`, in the order of `ra`: the faces to train on,
        then those to test on. Points are NaN where they are not visible, box is the annotated one.

    Raises:
        DatasetError: lists all that is wrong at once: no .mat, arrays that are missing or of
            another shape, a split that leaves a side empty, missing and unreadable images, and
            points or boxes that cannot be right.
    """
    faces, problems = scan(root, images, train)
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return table(faces)


def scan(root, images=True, train=None):
    """What an AFLW folder holds, good and bad.

    Args:
        root, images, train: as for `read`.

    Returns:
        (faces, problems): `index.face` rows of the usable faces, and a Problem for whatever is
        wrong; one for each image, however many faces it holds.
    """
    root = Path(root)
    if not root.is_dir():
        return [], [Problem(str(root), "no such folder")]
    if not (root / FILE).exists():
        return [], [Problem(FILE, "no such file; it holds all annotations")]
    found, causes = _arrays(root / FILE)
    if causes:
        return [], [Problem(FILE, cause) for cause in causes]
    problem, count = _count(root, train, len(found["ra"]))
    if problem:
        return [], [problem]
    return _faces(root, found, count, images)


def folder_of(face):
    """The path of the side in FOLDERS that a row of the index belongs to."""
    return face["split"]


def absent(root):
    """Path of a side -> None where there is no .mat; else no names: it lists what there is."""
    return {f.path: [] if (Path(root) / FILE).exists() else None for f in FOLDERS}


def _arrays(path):
    """The .mat's arrays, (R, ...) each, and what is wrong with them.

    Returns:
        dict of names (R,) str, points (R, 19, 2), visible (R, 19) bool, box (R, 4) x1, y1, x2, y2
        and ra (R,) from 0; list of causes.
    """
    from scipy import io  # here, as whatever marks a photograph imports this module

    try:
        held = io.loadmat(path)
    except Exception as error:  # a damaged file raises whatever its first wrong byte leads to
        return {}, [f"not a .mat file that can be read: {cause_of(error, path)}"]
    known = ("ra", "nameList", "mask_new", "data", "bbox")
    missing = [f"no array {name!r}" for name in known if name not in held]
    if missing:
        return {}, missing
    rows = len(held["data"])
    shapes = {"mask_new": (rows, 19), "data": (rows, 38), "bbox": (rows, 4)}
    shapes |= {"nameList": (rows, 1), "ra": (1, rows)}
    causes = [
        f"{name} is {held[name].shape}, not {shape}"
        for name, shape in shapes.items()
        if held[name].shape != shape
    ]
    if causes:
        return {}, causes
    ra = held["ra"][0].astype(np.int64) - 1
    if not np.array_equal(np.sort(ra), np.arange(rows)):
        return {}, [f"ra is no permutation of 1 to {rows}"]
    x1, x2, y1, y2 = held["bbox"].astype(np.float64).T
    return {
        "names": [_text(cell) for cell in held["nameList"][:, 0]],
        "points": held["data"].astype(np.float64).reshape(rows, 2, 19).transpose(0, 2, 1),
        "visible": held["mask_new"].astype(bool),
        "box": np.stack([x1, y1, x2, y2], axis=1),
        "ra": ra,
    }, []


def _text(cell):
    """The string in a cell, or in an array of one string."""
    while isinstance(cell, np.ndarray):
        cell = cell.flat[0] if cell.size else ""
    return str(cell).strip()


def _count(root, train, rows):
    """(Problem or None, how many of `ra` are to train)."""
    file = root / SPLIT
    if train is None and file.exists():
        try:
            train = json.loads(file.read_text())["train"]
        except (ValueError, KeyError, TypeError):
            return Problem(SPLIT, 'not as in {"train": 300}'), 0
    official = train is None
    train = TRAIN if official else train
    if not isinstance(train, int) or not 0 < train < rows:
        whose = "the official split takes the first" if official else "the split takes the first"
        cause = f"ra lists {rows} faces, and {whose} {train} to train: a side is left empty"
        return Problem(FILE if official else SPLIT, cause), 0
    return None, train


def _faces(root, found, count, images):
    """Usable faces in the order of `ra`, and problems."""
    where = _where(root, found["names"]) if images else {}
    faces, problems, sizes = [], [], {}
    for place, row in enumerate(found["ra"]):
        name, visible, box = (found[key][row] for key in ("names", "visible", "box"))
        id, points = f"{PurePosixPath(name).with_suffix('')}-{row}", found["points"][row]
        image, size = (where.get(name), sizes.get(name)) if images else (name, (np.inf, np.inf))
        if images and name not in sizes:
            size, cause = _size(root, image)
            sizes[name] = size
            if cause:
                problems.append(Problem(image or name, cause))
        if size is None:
            continue
        cause = _fault(points, visible, box, size)
        if cause:
            problems.append(Problem(f"{FILE}, row {row + 1}, {name}", cause))
            continue
        side = FOLDERS[place >= count]
        faces.append(
            face(
                id=id,
                split=side.split,
                subset=side.subset,
                image=image,
                photograph=name,
                points=points,
                visible=visible,
                box=box,
            )
        )
    return faces, problems


def _where(root, names):
    """Name -> path under the root of its image, for those that are there."""
    found = {}
    for folder in IMAGES:
        for name in set(names) - found.keys():
            if (root / folder / name).is_file():
                found[name] = f"{folder}/{name}" if folder else name
    return found


def _size(root, image):
    """((width, height) or None, cause or None) of an image."""
    if image is None:
        folders = ", ".join(f"{folder}/" if folder else "the root" for folder in IMAGES)
        return None, f"no such image, in {folders}"
    try:
        return formats.image_size(root / image), None
    except (ValueError, OSError) as error:
        return None, cause_of(error, root / image)


def _fault(points, visible, box, size):
    """What is wrong with a face, or None."""
    if not np.isfinite(points[visible]).all():
        return "a visible point is not finite"
    if not np.isfinite(box).all():
        return "the box is not finite"
    return fault(np.where(visible[:, None], points, np.nan), SCHEME, *size, box)
