"""Writes stand-in faces to disk in the official layout of 300W, images beside their .pts files."""

import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from study.standin import folders
from study.standin.face import draw, sample_face

VERSION = 2  # of the drawing: raise it whenever the same seed gives other pictures or points
SIZE = 300  # px, the height of a picture
RECORD, NOTE = "standin.json", "STAND-INS.txt"
HARD = 0.3  # share of challenging faces in the training folders, as real ones hold some
TRAINING = {"helen/trainset", "lfpw/trainset", "afw"}
SHARED = {"helen/trainset", "helen/testset", "afw"}  # sets whose photographs hold several faces
NOTE_TEXT = """These are no photographs. Every face in this folder is rendered from a 3D head by
study/standin and belongs to nobody; the folders and file names only follow 300W's layout, so that
the same code reads both. Do not report results on them as results on 300W.
"""


def write_300w(root, counts, seed, jobs=2, progress=True):
    """Writes stand-in faces under root in 300W's official layout.

    A folder that is already there with the same counts, seed and VERSION is left alone. Otherwise
    everything is written beside it under a temporary name, which then takes its place.

    Args:
        root: folder to make.
        counts: dict from folder ("helen/trainset", "lfpw/testset", "afw", "ibug" …) to faces.
            Faces of "ibug" are challenging, those of the other test folders common, and of the
            training folders' each is challenging with probability HARD.
        seed: of everything; the same bytes for the same seed, whatever the jobs.
        jobs: processes.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an unknown folder or a negative count.
        FileExistsError: root holds something that is no stand-in set.
    """
    _check(counts)
    record = {"counts": dict(sorted(counts.items())), "seed": seed, "version": VERSION}
    with folders.replacing(root, record, RECORD, {NOTE: NOTE_TEXT}) as made:
        if made is not None:
            _write_faces(made, plan_files(counts), seed, jobs, progress)


def _check(counts):
    unknown = sorted(set(counts) - set(NAMES))
    if unknown:
        raise ValueError(f"unknown folders {unknown}, known are {sorted(NAMES)}")
    for folder, count in counts.items():
        if count < 0:
            raise ValueError(f"{folder} is to hold {count} faces")


def _helen(number, face):
    return f"{100000 + 37 * number}_{face}.jpg"


def _lfpw(number, _face):
    return f"image_{number + 1:04d}.png"


def _afw(number, face):
    return f"{1000001 + 5413 * number}_{face}.jpg"


def _ibug(number, _face):
    return f"image_{number + 3:03d}.jpg"


NAMES = {"helen/trainset": _helen, "helen/testset": _helen, "lfpw/trainset": _lfpw,
         "lfpw/testset": _lfpw, "afw": _afw, "ibug": _ibug}


def plan_files(counts):
    """What is written: a list of (folder, file name, photograph, face of the photograph).

    In HELEN and AFW every fifth photograph holds two faces, in a file each.
    """
    files = []
    for folder in sorted(counts):
        photograph, face = 0, 1
        for _ in range(counts[folder]):
            files.append((folder, NAMES[folder](photograph, face), photograph, face))
            if folder in SHARED and photograph % 5 == 4 and face == 1:
                face = 2
            else:
                photograph, face = photograph + 1, 1
    return files


def face_of(folder, photograph, face, seed):
    """The Face of one file, a function of its arguments alone."""
    where = zlib.crc32(folder.encode())
    rng = np.random.default_rng([seed, where, photograph, face])
    hard = folder == "ibug" or (folder in TRAINING and rng.random() < HARD)
    drawn = sample_face(rng, "challenging" if hard else "common")
    if face > 1:  # the photograph's place, light and camera are those of its first face
        first = face_of(folder, photograph, 1, seed)
        place = replace(drawn.scene, seed=first.scene.seed, background=first.scene.background,
                        colour=first.scene.colour, focus=first.scene.focus)
        drawn = replace(drawn, light=first.light, camera=first.camera, scene=place)
    return drawn


def size_of(folder, photograph, seed):
    """(height, width) px of a photograph."""
    rng = np.random.default_rng([seed, zlib.crc32(folder.encode()), photograph, 0])
    return SIZE, int(SIZE * rng.choice([1.0, 1.0, 1.2, 1.34]))


def _write_one(task):
    """Writes one picture; returns the path of its .pts file, and its points."""
    root, seed, (folder, name, photograph, face) = task
    cv2.setNumThreads(1)
    image, points = draw(face_of(folder, photograph, face, seed),
                         size_of(folder, photograph, seed))
    path = Path(root) / folder / name
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
    done, coded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise OSError(f"{path} could not be encoded")
    path.write_bytes(coded.tobytes())
    return path.with_suffix(".pts"), points


def _write_faces(root, files, seed, jobs, progress):
    # Imported here, since the processes that only draw start faster without the loaders
    from study.datasets.formats import write_pts

    for folder in sorted({f[0] for f in files}):
        (root / folder).mkdir(parents=True)
    tasks = [(str(root), seed, file) for file in files]
    with tqdm(total=len(tasks), desc="render stand-ins", unit="face", disable=not progress) as bar:
        for path, points in folders.each(_write_one, tasks, jobs, chunk=4):
            write_pts(path, points)
            bar.update()
