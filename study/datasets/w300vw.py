"""300VW in its official folder layout (Shen et al., 2015): 68 points a face, one face a frame.

    001/vid.avi    001/annot/000001.pts  000002.pts ...

Annotation k is that of the k-th frame that the video decodes to, both counted from 1. The official
lists of training and test videos, and of the frames whose annotation is wrong, stand in
`study/published`, with their sources. Beside the official files a folder may hold, of our own:

    splits.json        lists of videos under "train", "test_category1", "test_category2" and
                       "test_category3", in place of the official ones
    sources.csv        video,photograph: the photograph that a clip was made from
    001/occluded.csv   frame,landmark: what is hidden in a frame (from 1), landmarks from 0

Not read: names that begin with a dot, and what else lies beside vid.avi and annot.
"""

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study import paper
from study.datasets import formats, video
from study.datasets.index import DatasetError, Problem, cause_of, face, fault, table
from study.landmarks import SCHEMES

NAME = "300VW"
SCHEME = SCHEMES["ibug68"]
SUBSETS = {  # list -> subset, in official order
    "train": "train",
    "test_category1": "S1",
    "test_category2": "S2",
    "test_category3": "S3",
}
TRAINING_FRAMES = 95_192  # Section 5.1; not published video by video


class Part(NamedTuple):
    """An official list of videos, how many it names, and how many frames they hold."""

    path: str
    split: str
    subset: str
    official: int
    videos: int


def _published(name):
    """Rows of a published list, its comments left out."""
    lines = (paper.FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _parts(rows):
    """The official lists as Parts."""
    parts = []
    for subset in SUBSETS.values():
        frames = [int(row["frames"] or 0) for row in rows if row["subset"] == subset]
        split, total = ("train", TRAINING_FRAMES) if subset == "train" else ("test", sum(frames))
        parts.append(Part(subset, split, subset, total, len(frames)))
    return tuple(parts)


def _broken(rows):
    """Video -> frozenset of the frames whose annotation is wrong."""
    broken = {}
    for row in rows:
        span = range(int(row["first"]), int(row["last"]) + 1)
        broken[row["video"]] = broken.get(row["video"], frozenset()) | frozenset(span)
    return broken


VIDEOS = {row["video"]: row["subset"] for row in _published("300vw_videos")}  # in official order
FOLDERS = _parts(_published("300vw_videos"))
BROKEN = _broken(_published("300vw_broken_frames"))


def read(root, *, keep_broken=False):
    """Index of a 300VW folder.

    A part of the official videos is enough. Of a video no more than its first frame is decoded
    here, so damage further down, or fewer frames than the file says, is found by `crops.build`
    and `check.check`.

    Args:
        root: the folder that holds 001, 002 and so on.
        keep_broken: whether to keep the frames that the published list calls broken. It is a
            list of official frames: with a splits.json of its own, a folder loses none.

    Returns:
        pandas.DataFrame, see `study.datasets.index`; in official order, then by frame.

    Raises:
        DatasetError: lists all that is wrong at once: a missing root or one without any video,
            lists that cannot be read, videos that are in no list, video or annotations alone,
            files that cannot be read, another number of annotations than the video says it has
            frames, and points that cannot be right.
    """
    faces, problems = scan(root, keep_broken=keep_broken)
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return table(faces)


def scan(root, *, keep_broken=False):
    """What a 300VW folder holds, good and bad.

    Returns:
        (faces, problems): `index.face` rows of the usable frames, and a Problem for each file or
        folder that is not.
    """
    root = Path(root)
    if not root.is_dir():
        return [], [Problem(str(root), "no such folder")]
    subsets, problems = _subsets(root)
    if problems:
        return [], problems
    photographs, problems = _photographs(root, subsets)
    problems += _strays(root, subsets)
    there = videos(root)
    if not there:
        problems.append(Problem(str(root), f"none of the {len(subsets)} listed videos is here"))
    skipped = {} if keep_broken else left_out(root)
    faces = []
    for name, subset in there.items():
        found, bad = _scan_video(root, name, subset, photographs.get(name, name), skipped)
        faces += found
        problems += bad
    return faces, problems


def videos(root):
    """Video -> subset of the listed videos that have a folder, in official order.

    Raises:
        DatasetError: a splits.json that cannot be read.
    """
    subsets, problems = _subsets(Path(root))
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return {name: subset for name, subset in subsets.items() if (Path(root) / name).is_dir()}


def left_out(root):
    """Video -> frames that are left out as broken; empty where the folder has its own lists."""
    return {} if (Path(root) / "splits.json").exists() else BROKEN


def annotations(root, name):
    """Frame -> path under the root of its annotation, by frame, and what is no annotation.

    Args:
        root: the folder that holds the videos.
        name: of the video, e.g. "001".

    Returns:
        (dict from frame to path, list of Problem).
    """
    files, problems = {}, []
    for file in sorted((Path(root) / name / "annot").glob("*.[pP][tT][sS]")):
        path = f"{name}/annot/{file.name}"
        if file.name.startswith("."):
            continue
        if not re.fullmatch("[0-9]+", file.stem):
            problems.append(Problem(path, "the name is no frame number"))
        elif int(file.stem) in files:
            problems.append(Problem(path, f"a second annotation beside {files[int(file.stem)]}"))
        else:
            files[int(file.stem)] = path
    return dict(sorted(files.items())), problems


def occluded(root, name, count):
    """What is hidden in the frames of a video, where the folder says so.

    Args:
        root: the folder that holds the videos.
        name: of the video, e.g. "001".
        count: T, the number of its frames.

    Returns:
        (T, 68) bool, row k - 1 for frame k; None where the video has no occluded.csv.

    Raises:
        DatasetError: a line that is not a frame from 1 to T and a landmark from 0 to 67.
    """
    path = f"{name}/occluded.csv"
    if not (Path(root) / path).exists():
        return None
    hidden = np.zeros((count, SCHEME.count), dtype=bool)
    rows, problems = _rows(root, path, ["frame", "landmark"])
    for line, row in rows:
        values = [int(value) if re.fullmatch("[0-9]+", value) else -1 for value in row]
        if 1 <= values[0] <= count and 0 <= values[1] < SCHEME.count:
            hidden[values[0] - 1, values[1]] = True
        else:
            ranges = f"a frame from 1 to {count} and a landmark from 0 to {SCHEME.count - 1}"
            problems.append(Problem(path, f"line {line}: {','.join(row)!r} is not {ranges}"))
    if problems:
        raise DatasetError(f"{NAME} at {root}", problems)
    return hidden


def folder_of(face):
    """The path of the Part in FOLDERS that a row of the index belongs to."""
    return face["subset"]


def absent(root):
    """Path of a Part -> names of listed videos that have no folder; None where all have none."""
    listed, _ = _subsets(Path(root))
    missing = {}
    for part in FOLDERS:
        names = [name for name, subset in listed.items() if subset == part.subset]
        gone = [name for name in names if not (Path(root) / name).is_dir()]
        missing[part.path] = None if len(gone) == len(names) else gone
    return missing


def _subsets(root):
    """(video -> subset, problems)."""
    if not (root / "splits.json").exists():
        return VIDEOS, []
    try:
        lists = json.loads((root / "splits.json").read_text(encoding="utf-8"))
        return _checked(lists), []
    except (OSError, ValueError) as error:
        return {}, [Problem("splits.json", str(error))]


def _checked(lists):
    """Video -> subset of the lists in a splits.json; ValueError where they are none."""
    if not isinstance(lists, dict):
        raise ValueError("no lists by name")
    unknown = sorted(set(lists) - set(SUBSETS) - {"all"})  # the official file has "all" too
    if unknown:
        raise ValueError(f"no such list: {', '.join(unknown)}; there are {', '.join(SUBSETS)}")
    subsets = {}
    for key, subset in SUBSETS.items():
        names = lists.get(key, [])
        if not isinstance(names, list) or not all(_is_name(name) for name in names):
            raise ValueError(f"{key} is no list of folder names")
        for name in names:
            if name in subsets:
                raise ValueError(f"{name} is listed twice")
            subsets[name] = subset
    return subsets


def _is_name(value):
    return isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) is not None


def _photographs(root, subsets):
    """(video -> photograph, problems) of sources.csv, if there is one."""
    if not (root / "sources.csv").exists():
        return {}, []
    photographs = {}
    rows, problems = _rows(root, "sources.csv", ["video", "photograph"])
    for line, (name, photograph) in rows:
        if name not in subsets:
            problems.append(Problem("sources.csv", f"line {line}: {name!r} is in no list"))
        elif not photograph or name in photographs:
            cause = "no photograph" if not photograph else "listed twice"
            problems.append(Problem("sources.csv", f"line {line}: {name}: {cause}"))
        else:
            photographs[name] = photograph
    return photographs, problems


def _rows(root, path, header):
    """((line number, values) of each row, problems) of a CSV file with this header."""
    try:
        with open(Path(root) / path, encoding="utf-8-sig", newline="") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (OSError, ValueError, csv.Error) as error:
        return [], [Problem(path, str(error))]
    if not lines or lines[0][1] != header:
        return [], [Problem(path, f"the first line is not {','.join(header)}")]
    good = [(number, row) for number, row in lines[1:] if len(row) == len(header)]
    bad = [(number, row) for number, row in lines[1:] if len(row) != len(header)]
    return good, [
        Problem(path, f"line {number}: {len(row)} values, not {len(header)}") for number, row in bad
    ]


def _strays(root, subsets):
    """Folders that look like videos and are in no list."""
    return [
        Problem(folder.name, "a video that is in no list; splits.json can name it")
        for folder in sorted(root.iterdir())
        if folder.name not in subsets
        and not folder.name.startswith(".")
        and ((folder / "vid.avi").exists() or (folder / "annot").is_dir())
    ]


def _scan_video(root, name, subset, photograph, skipped):
    """Usable frames and problems of one video whose folder exists."""
    path, annot = f"{name}/vid.avi", f"{name}/annot"
    has_video, has_points = (root / path).is_file(), (root / annot).is_dir()
    if not has_video and not has_points:
        return [], [Problem(name, "neither vid.avi nor annot")]
    if not has_video:
        return [], [Problem(annot, "annotations without the video vid.avi")]
    if not has_points:
        return [], [Problem(path, "a video without its annotations annot")]
    try:
        shape = video.probe(root / path)
    except ValueError as error:
        return [], [Problem(path, cause_of(error, root / path))]
    files, problems = annotations(root, name)
    cause = _numbering_fault(list(files), shape.frames, path)
    if cause:
        problems.append(Problem(annot, cause))
    problems += _sidecar_problems(root, name, max(files, default=0))
    faces = []
    for frame, file in files.items():
        if frame in skipped.get(name, ()):
            continue
        points, cause = _points_of(root / file, shape)
        if cause:
            problems.append(Problem(file, cause))
            continue
        faces.append(
            face(
                id=f"{name}/vid#{frame}",
                split="train" if subset == "train" else "test",
                subset=subset,
                image=path,
                frame=frame,
                video=name,
                photograph=photograph,
                points=points,
            )
        )
    return faces, problems


def _numbering_fault(numbers, frames, path):
    """What is wrong with the numbers of a video's annotations, or None."""
    if not numbers:
        return "no annotation"
    if frames is not None and len(numbers) != frames:
        return f"{len(numbers)} annotations, but {path} has {frames} frames"
    if numbers != list(range(1, len(numbers) + 1)):
        return f"{len(numbers)} annotations, numbered {numbers[0]} to {numbers[-1]}, not from 1 on"
    return None


def _sidecar_problems(root, name, count):
    """Problems of a video's occluded.csv."""
    try:
        occluded(root, name, count)
    except DatasetError as error:
        return error.problems
    return []


def _points_of(path, shape):
    """(points, cause); cause is None for good points."""
    try:
        points = formats.read_pts(path)
    except (ValueError, OSError) as error:
        return None, cause_of(error, path)
    return points, fault(points, SCHEME, shape.width, shape.height)
