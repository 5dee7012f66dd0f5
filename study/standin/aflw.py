"""Writes stand-in faces to disk in the official layout of AFLW: images, and one .mat of all."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from scipy import io
from tqdm import tqdm

from study.datasets.aflw import FILE, FOLDERS, IMAGES, SPLIT
from study.standin import folders
from study.standin.face import draw_seen, sample_face
from study.standin.write import HARD, NOTE, RECORD

VERSION = 1  # raise it whenever the same seed gives other pictures or annotations
SIZE = 128  # px, the side of a picture
AREAS = ("0", "2", "3")  # AFLW's image folders
TURNED = 0.55  # share of the faces that are turned aside by 25 to 95 degrees
HEADER = 116  # bytes of text at the start of a .mat, which hold the time of writing
NOTE_TEXT = """These are no photographs. Every face in this folder is rendered from a 3D head by
study/standin and belongs to nobody; the folders and files only follow AFLW's layout, so that the
same code reads both. Do not report results on them as results on AFLW.
"""

# AFLW's 19 among the 68 of the head (the mean of those named). The wings of the nose are the ends
# of its base, which on real faces lie nearest to AFLW's, 8 % of the eyes' distance away.
IN_IBUG68 = (
    *((17,), (19,), (21,), (22,), (24,), (26,)),  # brows
    *((36,), (37, 38, 40, 41), (39,), (42,), (43, 44, 46, 47), (45,)),  # eyes: corner, lids, corner
    *((31,), (30,), (35,)),  # nose
    *((48,), (62, 66), (54,)),  # mouth
    (8,),  # chin
)
# The annotated boxes of AFLW's 7,149 faces without a hidden point, by their medians: the points'
# height over the box's side, and how far below the box's centre theirs is, in sides.
HEIGHT_IN_BOX, BELOW = 0.755, 0.052


def write_aflw(root, counts, seed, jobs=2, progress=True):
    """Writes stand-in faces under root in AFLW's official layout, one an image.

    Landmarks are hidden where head, hair or an occluder hides them. A folder that is already
    there with the same arguments and VERSION is left alone. Otherwise everything is written
    beside it under a temporary name, which then takes its place.

    Args:
        root: folder to make.
        counts: {"train": faces, "test": faces}; split.json says how many are to train.
        seed: of everything; the same bytes for the same seed, whatever the jobs.
        jobs: processes.
        progress: whether to show a progress bar.

    Raises:
        ValueError: other sides than these two, or one without a face.
        FileExistsError: root holds something that is no stand-in set.
    """
    sides = [folder.path for folder in FOLDERS]
    if sorted(counts) != sorted(sides) or min(counts.values()) < 1:
        raise ValueError(f"faces are {counts}; {' and '.join(sides)} need one or more each")
    record = {"layout": "AFLW", "counts": counts, "seed": seed, "version": VERSION}
    with folders.replacing(root, record, RECORD, {NOTE: NOTE_TEXT}) as made:
        if made is not None:
            _write(made, counts, seed, jobs, progress)


def write_mat(path, names, points, visible, boxes, ra):
    """Writes annotations as AFLWinfo_release.mat holds them; the same bytes for the same values.

    Args:
        path: the file.
        names: R image names, such as "0/image00002.jpg".
        points: (R, 19, 2) px; those that are NaN are written as 0.
        visible: (R, 19) bool.
        boxes: (R, 4) x1, y1, x2, y2 px.
        ra: (R,) row numbers from 0, those to train on first.
    """
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).T
    held = {
        "ra": np.asarray(ra, dtype=np.float64)[None] + 1,
        "nameList": cells,
        "mask_new": np.asarray(visible, dtype=np.float64),
        "data": np.nan_to_num(points).transpose(0, 2, 1).reshape(len(names), -1),
        "bbox": np.stack([x1, x2, y1, y2], axis=1),
    }
    io.savemat(path, held)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, written by study/standin".ljust(HEADER))


def write_split(root, train):
    """Writes split.json: how many faces of `ra` are to train."""
    (Path(root) / SPLIT).write_text(json.dumps({"train": train}) + "\n", encoding="ascii")


def face_of(number, seed):
    """The Face of one image, a function of its arguments alone; its yaw reaches +-95 degrees."""
    rng = np.random.default_rng([seed, number])
    drawn = sample_face(rng, "challenging" if rng.random() < HARD else "common")
    aside = rng.choice([-1, 1]) * rng.uniform(25, 95)
    yaw = aside if rng.random() < TURNED else drawn.pose.yaw
    return replace(drawn, pose=replace(drawn.pose, yaw=float(yaw)))


def annotate(points, seen):
    """AFLW's annotation of a drawn head.

    Args:
        points: (68, 2) px.
        seen: (68,) bool.

    Returns:
        points (19, 2) px; visible (19,) bool, where half or more of what a point is the mean of
        is seen; box (4,) x1, y1, x2, y2, a square in whole px around the whole face.
    """
    nineteen = np.stack([points[list(group)].mean(axis=0) for group in IN_IBUG68])
    visible = np.array([seen[list(group)].mean() >= 0.5 for group in IN_IBUG68])
    low, high = points.min(axis=0), points.max(axis=0)
    side = np.round((high - low).max() / HEIGHT_IN_BOX)
    first = np.round((low + high) / 2 - [0, BELOW * side] - side / 2)
    return nineteen, visible, np.concatenate([first, first + side])


def _name(number):
    return f"{AREAS[number % len(AREAS)]}/image{number + 1:05d}.jpg"


def _write_one(task):
    """Writes one picture; returns its number and `annotate` of it."""
    root, seed, number = task
    cv2.setNumThreads(1)
    image, points, seen = draw_seen(face_of(number, seed), SIZE)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    path = Path(root) / IMAGES[0] / _name(number)
    done, coded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise OSError(f"{path} could not be encoded")
    path.write_bytes(coded.tobytes())
    return number, annotate(points, seen)


def _write(root, counts, seed, jobs, progress):
    for area in AREAS:
        (root / IMAGES[0] / area).mkdir(parents=True)
    total = sum(counts.values())
    tasks, found = [(str(root), seed, number) for number in range(total)], {}
    with tqdm(total=total, desc="render AFLW stand-ins", unit="face", disable=not progress) as bar:
        for number, annotation in folders.each(_write_one, tasks, jobs, chunk=4):
            found[number] = annotation
            bar.update()
    points, visible, boxes = map(np.stack, zip(*(found[n] for n in range(total)), strict=True))
    ra = np.random.default_rng([seed, total]).permutation(total)
    write_mat(root / FILE, [_name(n) for n in range(total)], points, visible, boxes, ra)
    write_split(root, counts["train"])
