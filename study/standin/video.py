"""Writes stand-in videos to disk in the official layouts of 300VW and of Talking Face.

Each video shows one rendered person who talks, blinks, looks about and moves the head. The three
scenarios of 300VW are: S1 well lit and nearly frontal; S2 odd light, larger poses and a camera
that is held; S3 changing light, motion blur, and things that pass before the face.
"""

import zlib

import cv2
import numpy as np
from tqdm import tqdm

from study.datasets import talking_face, w300vw
from study.datasets.formats import write_pts
from study.standin import acting, folders, layout
from study.standin.face import Sitter
from study.standin.signals import FPS
from study.standin.write import NOTE, RECORD

VERSION = 1  # raise it whenever the same seed gives other pictures or points
SIZE = 200, 240  # px, height and width of a picture
CHUNK = 20  # frames that a process draws of a long video
SCENARIOS = ("S1", "S2", "S3")
NOTE_TEXT = """These are no videos of people. Every face here is rendered from a 3D head by
study/standin and belongs to nobody; the folders and file names only follow {layout}'s layout, so
that the same code reads both. Do not report results on them as results on {layout}.
"""

# What Talking Face's own 68 points stand for among iBUG's (the mean of those named): the seven
# that both markups share are exact (27, 29, 32, 34, 48, 54, 67), the others are near enough to be
# points of a face, and no one may score them.
TALKING_FACE = [
    *((0,), (1,), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (8,)),  # contour to the chin
    *((9, 10), (10, 11), (11, 12), (12, 13), (13, 14), (15,), (16,)),
    *((26,), (25,), (23,), (22,), (23, 24), (24, 25)),  # the brow at the image's right
    *((17,), (18,), (20,), (21,), (19, 20), (18, 19)),  # and at its left
    *((36,), (37, 38), (39,), (40, 41), (36, 37, 38, 39, 40, 41)),  # eyes: corners, lids, pupil
    *((45,), (43, 44), (42,), (46, 47), (42, 43, 44, 45, 46, 47)),
    *((27, 39), (28,), (31,), (31, 32), (33,), (34, 35), (35,), (29,), (27, 42)),  # nose
    *((32,), (34,)),  # nostrils
    *((i,) for i in range(48, 60)),  # outer lip
    *((67,), (66,), (65,), (63,), (62,), (61,), (62, 66)),  # inner lip, mouth
    (30,),  # tip of the nose
]


def write_300vw(root, videos, frames, seed, jobs=2, progress=True, size=SIZE):
    """Writes rendered videos under root in 300VW's official layout.

    A folder that is already there with the same arguments and VERSION is left alone. Otherwise
    everything is written beside it under a temporary name, which then takes its place.

    Args:
        root: folder to make.
        videos: dict from subset ("train", "S1", "S2", "S3") to how many: the first of the
            official list. Videos of "train" are of the three scenarios in turn. A splits.json
            names them, so that no official list of broken frames applies.
        frames: T of each.
        seed: of everything; the same bytes for the same seed, whatever the jobs.
        jobs: processes.
        progress: whether to show a progress bar.
        size: height and width of a picture, px.

    Raises:
        ValueError: an unknown subset, more videos than the official list has, no frame.
        FileExistsError: root holds something that is no stand-in set.
    """
    plan = plan_videos(videos)
    _require_frames(frames)
    record = {"layout": "300VW", "videos": dict(sorted(videos.items())), "frames": frames,
              "seed": seed, "size": list(size), "version": VERSION}
    note = {NOTE: NOTE_TEXT.format(layout="300VW")}
    with folders.replacing(root, record, RECORD, note) as made:
        if made is None:
            return
        layout.write_lists(made, [(name, subset) for name, subset, _ in plan])
        tasks = [(str(made / name), seed, name, scenario, frames, size)
                 for name, _, scenario in plan]
        with _bar(len(tasks) * frames, progress) as bar:
            for count in folders.each(_write_video, tasks, jobs):
                bar.update(count)


def plan_videos(videos):
    """What is written: a list of (official id, subset, scenario).

    Args:
        videos: dict from subset to a number of videos.
    """
    official = {subset: [] for subset in w300vw.SUBSETS.values()}
    for name, subset in w300vw.VIDEOS.items():
        official[subset].append(name)
    unknown = sorted(set(videos) - set(official))
    if unknown:
        raise ValueError(f"unknown subsets {unknown}, known are {sorted(official)}")
    for subset, count in videos.items():
        if not 0 <= count <= len(official[subset]):
            raise ValueError(f"{subset} is to hold {count} videos of {len(official[subset])}")
    return [(name, subset, SCENARIOS[i % 3] if subset == "train" else subset)
            for subset in official
            for i, name in enumerate(official[subset][:videos.get(subset, 0)])]


def _require_frames(frames, most=None):
    if frames < 1 or (most is not None and frames > most):
        raise ValueError(f"a video is to have {frames} frames, not 1 to {most or 'any number'}")


def write_talking_face(root, frames, seed, jobs=2, progress=True, size=SIZE):
    """Writes one talking person under root in Talking Face's layout: images and .pts files.

    The points are in that set's own markup of 68: its seven in common with iBUG's are exact, the
    others finite and meaningless (TALKING_FACE).

    Args:
        root, frames, seed, jobs, progress, size: as in `write_300vw`.

    Raises:
        ValueError: no frame, or more than the official 5,000.
        FileExistsError: root holds something that is no stand-in set.
    """
    _require_frames(frames, talking_face.FRAMES)
    record = {"layout": "TF", "frames": frames, "seed": seed, "size": list(size),
              "version": VERSION}
    with folders.replacing(root, record, RECORD, {NOTE: NOTE_TEXT.format(layout="TF")}) as made:
        if made is None:
            return
        tasks = [(str(made), seed, frames, range(start, min(start + CHUNK, frames)), size)
                 for start in range(0, frames, CHUNK)]
        with _bar(frames, progress) as bar:
            for count in folders.each(_write_franck, tasks, jobs):
                bar.update(count)


def film(performance, size, numbers=None):
    """Draws frames of a performance.

    Args:
        performance: acting.Performance.
        size: (height, width) px.
        numbers: which frames, 0-based; None for all. A frame does not depend on which others
            are drawn.

    Yields:
        image (H, W, 3) uint8 RGB, points (68, 2) px, hidden (68,) bool: behind what passes.
    """
    faces, pans = performance.faces, performance.pans
    sitter = Sitter(faces[0], size, margin=int(np.ceil(np.abs(pans).max())))
    objects = [sitter.occluder(passing.kind, passing.seed) for passing in performance.passes]
    for number in range(len(faces)) if numbers is None else numbers:
        hiding = [parts for passing, thing in zip(performance.passes, objects, strict=True)
                  for parts in _moved(thing, passing.offset(number))]
        yield sitter.draw(faces[number], hiding, pans[number])


def _moved(thing, offset):
    """Parts moved by an offset (3,) cm; none where the offset is None."""
    return [] if offset is None else [part.moved(offset) for part in thing]


def _rng(seed, layout, number):
    return np.random.default_rng([seed, zlib.crc32(layout.encode()), number])


def _write_video(task):
    """Writes one video of 300VW; returns how many frames it has."""
    folder, seed, name, scenario, frames, size = task
    cv2.setNumThreads(1)
    performance = acting.perform(_rng(seed, "300VW", int(name)), scenario, frames, size)
    return layout.write_clip(folder, film(performance, size), FPS)


def talking_points(points):
    """Talking Face's 68 points from iBUG's (68, 2)."""
    return np.array([points[list(which)].mean(axis=0) for which in TALKING_FACE])


def _write_franck(task):
    """Writes some frames of the talking person; returns how many."""
    root, seed, frames, numbers, size = task
    cv2.setNumThreads(1)
    performance = acting.perform(_rng(seed, "TF", 0), "S1", frames, size)
    for number, (image, points, _) in zip(numbers, film(performance, size, numbers), strict=True):
        name = f"{root}/franck_{number:05d}"
        coded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]),
                             [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        with open(f"{name}.jpg", "wb") as file:
            file.write(coded.tobytes())
        write_pts(f"{name}.pts", talking_points(points))
    return len(numbers)


def _bar(total, progress):
    return tqdm(total=total, desc="render videos", unit="frame", disable=not progress)
