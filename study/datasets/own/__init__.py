"""Images and points of one's own, under a landmark scheme of one's own.

    scheme.yaml                                 the scheme: see `scheme`
    points.csv                                  the points: see `table`
    annotations.json, or train.json, test.json  or these, in COCO's format: see `coco`
    *.jpg, *.jpeg, *.png, *.bmp, *.webp         the images, anywhere below; no others are seen

A face is a row or an annotation; an image may hold several. Points are px of the image file,
0-based, with pixel centres at whole numbers, and NaN where they are hidden.

Which faces are to test on, the files say; where they do not, a hash of the group's name does, or
of the image's path where there is no group: those whose hash falls below `test_share` are held out.
The choice depends on nothing else, so that an image keeps its side when others come.
"""

import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from study.datasets import formats
from study.datasets.index import DatasetError, Problem, cause_of, face, fault, table as index_of
from study.datasets.own import coco, scheme, table

NAME = "OWN"
SCHEME = None  # that of the folder: `scheme_of`
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
ORIENTATION = 0x0112  # EXIF's tag


class Folder(NamedTuple):
    """A side of the split; its faces lie in no folder of their own."""

    path: str
    split: str
    subset: str
    official: int | None


FOLDERS = (Folder("train", "train", "train", None), Folder("test", "test", "test", None))


class Inspection(NamedTuple):
    """What a folder holds, good and bad.

    Attributes:
        settings: `scheme.Settings`, None where there is no scheme that can be read.
        faces: `index.face` rows of the usable faces.
        problems: a Problem for whatever is wrong.
        left_out: rows and annotations without a point, crowds, and other categories.
        unused: images below the folder that no usable face is in.
    """

    settings: scheme.Settings | None
    faces: list
    problems: list
    left_out: int = 0
    unused: tuple = ()


def read(root):
    """Index of a folder of one's own; a face's id is its image's path without the suffix.

    Of several faces in one image, the ids end in ":1", ":2" and so on, in the file's order. Images
    are not decoded here, only their headers are read.

    Args:
        root: the folder that holds scheme.yaml.

    Returns:
        pandas.DataFrame, see `study.datasets.index`, in the order of the files; subset is the
        split, photograph the group or the image.

    Raises:
        DatasetError: lists all that is wrong at once, by file and line.
    """
    found = inspect(root)
    if found.problems:
        raise DatasetError(f"{NAME} at {root}", found.problems)
    return index_of(found.faces)


def scan(root):
    """(faces, problems): `index.face` rows of the usable faces, and a Problem for what is wrong."""
    found = inspect(root)
    return found.faces, found.problems


def scheme_of(root):
    """The `study.landmarks.Scheme` of a folder.

    Raises:
        DatasetError: lists what is wrong with scheme.yaml.
    """
    settings, problems = scheme.read(Path(root))
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return settings.scheme


def folder_of(face):
    """The path of the side in FOLDERS that a row of the index belongs to."""
    return face["split"]


def absent(root):
    """Path of a side -> no names: there is no official list of them."""
    return {folder.path: [] for folder in FOLDERS}


def inspect(root):
    """`Inspection` of a folder."""
    root = Path(root)
    if not root.is_dir():
        return Inspection(None, [], [Problem(str(root), "no such folder")])
    settings, problems = scheme.read(root)
    reader, problem = _reader(root)
    problems += [problem] if problem else []
    if problems:
        return Inspection(settings, [], problems)
    entries, problems, left_out = reader.read(root, settings)
    images = _below(root)
    faces, bad = _faces(root, entries, images, settings)
    problems += bad
    problems = sorted(problems + _empty_sides(faces, settings), key=_in_order)
    unused = sorted(images.paths - {face["image"] for face in faces})
    return Inspection(settings, faces, problems, left_out, tuple(unused))


def _in_order(problem):
    """Sorts problems by file and line: the numbers of a place as numbers."""
    return [part.zfill(12) if part.isdigit() else part for part in re.split(r"(\d+)", problem.file)]


def _reader(root):
    """(the module that reads the folder's points, Problem or None)."""
    there = [table.FILE] * (root / table.FILE).is_file() + coco.files(root)
    if not there:
        return None, Problem(table.FILE, f"no such file, nor {' nor '.join(coco.FILES)}")
    if len(there) == 1 or there == ["train.json", "test.json"]:
        return (table if there == [table.FILE] else coco), None
    return None, Problem(" and ".join(there), "which of them holds the points?")


class _Images(NamedTuple):
    """Images below a folder: their paths, and name -> the paths that end in it."""

    paths: set
    named: dict


def _below(root):
    paths, named = set(), {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            if Path(name).suffix.lower() in IMAGES and not name.startswith("."):
                path = (Path(folder) / name).relative_to(root).as_posix()
                paths.add(path)
                named.setdefault(name, []).append(path)
    return _Images(paths, named)


def _where(image, images):
    """(path under the root, cause) of an image by the name that a file has for it."""
    path = PurePosixPath(image).as_posix()
    if path in images.paths:
        return path, None
    if "/" in path:
        return None, f"no image {image}"
    found = images.named.get(path, [])
    if len(found) > 1:
        return None, f"{len(found)} images are called {image}: {', '.join(sorted(found)[:3])}"
    return (found[0], None) if found else (None, f"no image {image}")


def _size(path):
    """((width, height), cause) of an image."""
    try:
        size = formats.image_size(path)
        with Image.open(path) as image:
            # Pillow would decode a whole PNG to look for the tag, which hardly any has.
            turned = 1 if image.format == "PNG" else image.getexif().get(ORIENTATION, 1)
    except (ValueError, OSError) as error:
        return None, cause_of(error, path)
    if turned not in (0, 1):
        return None, (
            f"its orientation tag is {turned}: programs show it turned, and it is unknown which "
            "way the points are; save it upright, without the tag"
        )
    return size, None


def _faces(root, entries, images, settings):
    """Usable faces and problems; an image that is missing or broken is named once."""
    found, problems = {}, []
    for entry in entries:
        if entry.image not in found:
            found[entry.image] = _found(root, entry.image, images)
            if found[entry.image].cause:
                problems.append(Problem(entry.place, found[entry.image].cause))
    total = Counter(found[entry.image].path for entry in entries)
    faces, count, seen = [], Counter(), _Seen()
    for entry in entries:
        image = found[entry.image]
        if image.cause:
            continue
        count[image.path] += 1
        number = count[image.path] if total[image.path] > 1 else None
        split = entry.split or _hashed(entry.group or image.path, settings.test_share)
        cause = fault(entry.points, settings.scheme, *image.size, entry.box)
        cause = cause or seen.fault(entry, image.path, split)
        if cause:
            problems.append(Problem(entry.place, f"{image.path}: {cause}"))
        else:
            faces.append(_row(entry, image.path, number, split))
    return faces, problems


def _row(entry, path, number, split):
    """The `index.face` of an entry; number counts the faces of an image, None of a single one."""
    stem = _stem(path)
    return face(
        id=stem if number is None else f"{stem}:{number}",
        split=split,
        subset=split,
        image=path,
        photograph=entry.group or path,
        points=entry.points,
        visible=~np.isnan(entry.points).any(axis=1),
        box=entry.box,
    )


def _stem(path):
    return PurePosixPath(path).with_suffix("").as_posix()


class _Found(NamedTuple):
    """An image: its path under the root and its (width, height), or why it cannot be used."""

    path: str | None
    size: tuple | None
    cause: str | None


def _found(root, image, images):
    """`_Found` of an image by the name that a file has for it."""
    path, cause = _where(image, images)
    if cause:
        return _Found(None, None, cause)
    size, cause = _size(root / path)
    return _Found(path, size, f"{path}: {cause}" if cause else None)


class _Seen:
    """What has been read so far, to find what cannot be there twice."""

    def __init__(self):
        self.points, self.stems, self.sides = {}, {}, {}

    def fault(self, entry, path, split):
        """What is wrong with an entry beside the earlier ones, or None; remembers it."""
        key = path, entry.points.tobytes()
        place = self.points.setdefault(key, entry.place)
        if place != entry.place:
            return f"the same points as {place}"
        first = self.stems.setdefault(_stem(path), path)
        if first != path:  # their faces would share an id
            return f"a second image beside {first}"
        for name in filter(None, (entry.group and f"group {entry.group}", path)):
            side = self.sides.setdefault(name, split)
            if side != split:
                return f"{name} is to {side} and to {split}"
        return None


def _hashed(group, share):
    """The side of a group by the hash of its name."""
    digest = int(formats.sha256(group.encode())[:12], 16)
    return "test" if digest < share * 16**12 else "train"


def _empty_sides(faces, settings):
    """Problems of sides without a face."""
    if not faces:
        return [Problem(NAME, "no face is left")]
    there = {face["split"] for face in faces}
    share = f"by hash of images' names, test_share {settings.test_share:g}; say `split` yourself"
    return [
        Problem(NAME, f"no face is left to {side}: where the files do not say, {share}")
        for side in ("train", "test")
        if side not in there
    ]
