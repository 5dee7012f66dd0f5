"""Writes stand-in faces as data of one's own: pictures, five points in a file, and scheme.yaml."""

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from study.datasets.own import coco, scheme, table
from study.landmarks import Scheme
from study.standin import folders
from study.standin.face import draw_seen, sample_face
from study.standin.write import NOTE, RECORD

VERSION = 1  # raise it whenever the same seed gives other pictures or annotations
SIZE = 200  # px, the side of a picture
FORMATS = {"csv": table.write, "coco": coco.write}
NOTE_TEXT = """These are no photographs. Every face in this folder is rendered from a 3D head by
study/standin and belongs to nobody; its five points are of an invented scheme. The folder shows
how data of one's own is laid out.
"""
SCHEME = Scheme(
    count=5,
    mirror=(1, 0, 2, 4, 3),
    areas={"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
    names=("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner"),
    eye_corners=(0, 1),
    name="five",
)
# The five among the 68 of the head, means of those named: the eyes' centres of their outlines.
IN_IBUG68 = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))


def write_own(root, counts, seed, jobs=2, progress=True, form="csv"):
    """Writes stand-in faces of five points under root, one a picture, as data of one's own.

    A point is hidden where head, hair or an occluder hides it. A folder that is already there
    with the same arguments and VERSION is left alone. Otherwise everything is written beside it
    under a temporary name, which then takes its place.

    Args:
        root: folder to make.
        counts: {"train": faces, "test": faces}.
        seed: of everything; the same bytes for the same seed, whatever the jobs.
        jobs: processes.
        progress: whether to show a progress bar.
        form: "csv" or "coco", the file that the points are in.

    Raises:
        ValueError: other sides than these two, one without a face, or another form.
        FileExistsError: root holds something that is no stand-in set.
    """
    if sorted(counts) != ["test", "train"] or min(counts.values()) < 1:
        raise ValueError(f"faces are {counts}; train and test need one or more each")
    if form not in FORMATS:
        raise ValueError(f"format {form!r}: there are {', '.join(FORMATS)}")
    record = {"layout": f"own, {form}", "counts": counts, "seed": seed, "version": VERSION}
    with folders.replacing(root, record, RECORD, {NOTE: NOTE_TEXT}) as made:
        if made is not None:
            _write(made, counts, seed, jobs, progress, FORMATS[form])


def annotate(points, seen):
    """(5, 2) px of a drawn head's (68, 2); NaN where not half of what a point is of is seen."""
    five = np.stack([points[list(group)].mean(axis=0) for group in IN_IBUG68])
    visible = np.array([seen[list(group)].mean() >= 0.5 for group in IN_IBUG68])
    return np.where(visible[:, None], five, np.nan)


def _write_one(task):
    """Writes one picture; returns its number and its points."""
    root, seed, number = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, number])
    image, points, seen = draw_seen(sample_face(rng, "common"), SIZE)
    path = Path(root) / _name(number)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    done, coded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise OSError(f"{path} could not be encoded")
    path.write_bytes(coded.tobytes())
    return number, annotate(points, seen)


def _name(number):
    return f"images/{number + 1:04d}.jpg"


def _write(root, counts, seed, jobs, progress, write_points):
    (root / "images").mkdir()
    total, found = sum(counts.values()), {}
    tasks = [(str(root), seed, number) for number in range(total)]
    with tqdm(total=total, desc="render own stand-ins", unit="face", disable=not progress) as bar:
        for number, points in folders.each(_write_one, tasks, jobs, chunk=4):
            found[number] = points
            bar.update()
    sides = ["train"] * counts["train"] + ["test"] * counts["test"]
    rows = [(_name(number), side, found[number]) for number, side in enumerate(sides)]
    scheme.write(root, SCHEME)
    write_points(root, SCHEME, rows)
