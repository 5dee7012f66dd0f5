"""300W in its official folder layout (Sagonas et al., 2013): 68 points a face.

    afw/  helen/trainset/  lfpw/trainset/      train, 3,148 faces
    helen/testset/  lfpw/testset/              common test subset, 554 faces
    ibug/                                      challenging test subset, 135 faces

Each image (.jpg or .png) has its points beside it under the same name with the suffix .pts. Not
read: files with other suffixes (Thumbs.db), names that begin with a dot (._1.pts, left by macOS),
names that end in _mirror (mirrored copies in some redistributions), and further subfolders.
"""

import re
from pathlib import Path
from typing import NamedTuple

from study.datasets import formats
from study.datasets.index import DatasetError, Problem, cause_of, face, fault, table
from study.landmarks import SCHEMES

NAME = "300W"
SCHEME = SCHEMES["ibug68"]
IMAGES = (".jpg", ".jpeg", ".png")


class Folder(NamedTuple):
    """An official folder and the number of faces that it holds."""

    path: str
    split: str
    subset: str
    official: int


FOLDERS = (
    Folder("afw", "train", "train", 337),
    Folder("helen/trainset", "train", "train", 2000),
    Folder("lfpw/trainset", "train", "train", 811),
    Folder("helen/testset", "test", "common", 330),
    Folder("lfpw/testset", "test", "common", 224),
    Folder("ibug", "test", "challenging", 135),
)


def read(root):
    """Index of a 300W folder.

    A part of the official images is enough: a test subset may be absent as a whole, and folders
    may hold fewer images than the official ones (`study.datasets.check` counts them). Images are
    not decoded here, only their headers are read.

    Args:
        root: the folder that holds afw, helen, lfpw and ibug.

    Returns:
        pandas.DataFrame, see `study.datasets.index`; in the order of FOLDERS, then by name.

    Raises:
        DatasetError: lists all that is wrong at once: a missing root or training folder, a test
            subset of which one folder is there and another is not, images without points,
            points without image, unreadable files, and points that cannot be right.
    """
    faces, problems = scan(root)
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return table(faces)


def scan(root):
    """What a 300W folder holds, good and bad.

    Returns:
        (faces, problems): `index.face` rows of the usable faces, and a Problem for each file or
        folder that is not.
    """
    root = Path(root)
    if not root.is_dir():
        return [], [Problem(str(root), "no such folder")]
    faces, problems = [], _absent_folders(root)
    for folder in FOLDERS:
        if (root / folder.path).is_dir():
            found, bad = _scan_folder(root, folder)
            faces += found
            problems += bad
    return faces, problems


def missing_subsets(root):
    """Test subsets of which no folder is there, in official order."""
    tests = [folder for folder in FOLDERS if folder.split == "test"]
    there = {folder.subset for folder in tests if (Path(root) / folder.path).is_dir()}
    return [s for s in dict.fromkeys(folder.subset for folder in tests) if s not in there]


def folder_of(face):
    """The path of the folder in FOLDERS that a row of the index belongs to."""
    return face["id"].rpartition("/")[0]


def absent(root):
    """Path of a folder -> None where it is not there; else no names: no list of them is kept."""
    return {f.path: [] if (Path(root) / f.path).is_dir() else None for f in FOLDERS}


def _absent_folders(root):
    """Absent folders that make a data set half there: not those of a wholly absent test subset."""
    wholly = missing_subsets(root)
    return [
        Problem(folder.path, f"no such folder; it holds {folder.official} faces of {folder.subset}")
        for folder in FOLDERS
        if folder.subset not in wholly and not (root / folder.path).is_dir()
    ]


def _scan_folder(root, folder):
    """Usable faces and problems of one folder that exists."""
    images, annotations, problems = _files(root, folder)
    for name in sorted(annotations.keys() - images.keys()):
        problems.append(Problem(annotations[name], "points without an image"))
    faces = []
    for name, image in sorted(images.items()):
        if name not in annotations:
            problems.append(Problem(image, f"image without its points {name}.pts"))
            continue
        file, points, cause = _points_of(root, image, annotations[name])
        if cause:
            problems.append(Problem(file, cause))
            continue
        faces.append(
            face(
                id=f"{folder.path}/{name}",
                split=folder.split,
                subset=folder.subset,
                image=image,
                photograph=photograph(folder.path, name),
                points=points,
            )
        )
    if not images and not problems:
        problems.append(Problem(folder.path, "the folder holds no image"))
    return faces, problems


def _files(root, folder):
    """Images and .pts files of a folder by name, as paths under the root, and doubles."""
    images, annotations, problems = {}, {}, []
    for file in sorted((root / folder.path).iterdir()):
        suffix = file.suffix.lower()
        if file.name.startswith(".") or file.stem.endswith("_mirror") or not file.is_file():
            continue
        path = f"{folder.path}/{file.name}"
        if suffix == ".pts":
            annotations[file.stem] = path
        elif suffix in IMAGES and file.stem in images:
            problems.append(Problem(path, f"a second image beside {images[file.stem]}"))
        elif suffix in IMAGES:
            images[file.stem] = path
    return images, annotations, problems


def _points_of(root, image, annotation):
    """(file at fault, points, cause); cause is None for a good pair."""
    try:
        points = formats.read_pts(root / annotation)
    except (ValueError, OSError) as error:
        return annotation, None, cause_of(error, root / annotation)
    try:
        width, height = formats.image_size(root / image)
    except (ValueError, OSError) as error:
        return image, None, cause_of(error, root / image)
    return annotation, points, fault(points, SCHEME, width, height)


def photograph(folder, name):
    """The photograph that a face is cut from.

    AFW, HELEN and iBUG number the faces of a photograph: 134212_1 and 134212_2 are one, as are
    image_092 and image_092_02. A photograph of HELEN has one name in its two folders; LFPW
    numbers photographs from 1 in each of its two.

    Args:
        folder: official folder, e.g. "helen/trainset".
        name: file name without extension.

    Returns:
        str, e.g. "helen/100032540".
    """
    source = folder.split("/")[0]
    if source == "lfpw":
        return f"{folder}/{name}"
    numbered = r"(image_[0-9]+)_[0-9]+" if source == "ibug" else r"(.+)_[0-9]+"
    match = re.fullmatch(numbered, name)
    return f"{source}/{match[1] if match else name}"
