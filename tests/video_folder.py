"""Small invented videos, and folders in the official layouts of 300VW and Talking Face."""

import json
import zlib

import numpy as np
from PIL import Image
from w300_folder import HEIGHT, WIDTH, invented_points

from study.datasets.formats import write_pts
from study.datasets.video import Writer

VIDEOS = {"001": 4, "004": 3, "114": 5, "401": 3, "203": 2}  # official names -> frames


def picture(number, width=WIDTH, height=HEIGHT):
    """A smooth (height, width, 3) uint8 frame whose brightness tells its number, 0 to 20."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ramps = np.stack([x, y, 1 - x], axis=-1) - 0.5  # of mean 0
    return np.rint(20 + 10 * number + 30 * ramps).clip(0, 255).astype(np.uint8)


def number_of(frame):
    """The number of a `picture` that was compressed."""
    return round((float(frame.mean()) - 20) / 10)


def write_video(path, count, width=WIDTH, height=HEIGHT, codec=None, fps=25):
    """Writes pictures number 1 to count; returns the path."""
    with Writer(path, fps, width, height, codec) as writer:
        for number in range(1, count + 1):
            writer.write(picture(number, width, height))
    return path


def cut_after(path, count, rest=0):
    """Truncates an .avi file `rest` bytes after its first `count` frames."""
    data = path.read_bytes()
    start = data.index(b"movi")
    heads = [at for at in range(start, len(data)) if data[at : at + 4] == b"00dc"]
    path.write_bytes(data[: heads[count] + rest])


def write_official_pts(path, points, version="1"):
    """A .pts file as 300VW has them: Windows line ends, `version: 1` or `1.0`."""
    rows = [f"{x:.6f} {y:.6f}" for x, y in points + 1.0]
    lines = [f"version: {version}", f"n_points: {len(points)}", "{", *rows, "}", ""]
    path.write_bytes("\r\n".join(lines).encode())


def points_of(video, frame):
    """(68, 2) px, the annotation of a frame."""
    return invented_points(zlib.crc32(f"{video} {frame}".encode()))


def write_clip(root, video, count):
    """Writes the folder of one video; odd frames have `version: 1.0`."""
    (root / video / "annot").mkdir(parents=True)
    write_video(root / video / "vid.avi", count)
    for frame in range(1, count + 1):
        file = root / video / "annot" / f"{frame:06d}.pts"
        write_official_pts(file, points_of(video, frame), "1.0" if frame % 2 else "1")


def write_300vw(root, videos=VIDEOS, splits=None):
    """Writes a folder of 300VW, with a splits.json if there are lists; returns it."""
    for video, count in videos.items():
        write_clip(root, video, count)
    if splits is not None:
        (root / "splits.json").write_text(json.dumps(splits))
    return root


def write_talking_face(root, frames):
    """Writes these frames of Talking Face; returns the folder."""
    root.mkdir(parents=True)
    for frame in frames:
        Image.fromarray(picture(frame % 20)).save(root / f"franck_{frame:05d}.jpg")
        write_pts(root / f"franck_{frame:05d}.pts", talking_points(frame))
    return root


def talking_points(frame):
    """(68, 2) px of a frame of Talking Face, in the markup of its own."""
    points = invented_points(frame)
    points[[27, 32]] = [[0.3 * WIDTH, 0.4 * HEIGHT], [0.7 * WIDTH, 0.4 * HEIGHT]]
    return points
