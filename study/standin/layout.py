"""Writes clips in the layout of 300VW: a video, a .pts file a frame, and what is hidden."""

import json
from pathlib import Path

from study.datasets import w300vw
from study.datasets.formats import write_pts
from study.datasets.video import Writer

VIDEO, POINTS, HIDDEN, LISTS = "vid.avi", "annot", "occluded.csv", "splits.json"


def write_clip(folder, shots, fps):
    """Writes a clip.

    Args:
        folder: to make, e.g. root / "001".
        shots: iterable of (image (H, W, 3) uint8 RGB, points (N, 2) px 0-based, hidden (N,) bool)
            a frame; images of one size.
        fps: frames a second.

    Returns:
        int, frames written.
    """
    folder = Path(folder)
    (folder / POINTS).mkdir(parents=True)
    shots = iter(shots)
    first = next(shots)
    height, width = first[0].shape[:2]
    lines = ["frame,landmark"]
    with Writer(folder / VIDEO, fps, width, height) as video:
        for number, (image, points, hidden) in enumerate(_chain(first, shots), start=1):
            video.write(image)
            write_pts(folder / POINTS / f"{number:06d}.pts", points)
            lines += [f"{number},{landmark}" for landmark in hidden.nonzero()[0]]
    (folder / HIDDEN).write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    return number


def _chain(first, rest):
    yield first
    yield from rest


def write_lists(root, names):
    """Writes splits.json, the lists of a folder's own videos.

    Args:
        root: the folder of the clips.
        names: list of (name, subset).
    """
    lists = {key: [name for name, of in names if of == subset]
             for key, subset in w300vw.SUBSETS.items()}
    text = json.dumps(lists, indent=2) + "\n"
    (Path(root) / LISTS).write_text(text, encoding="ascii", newline="\n")
