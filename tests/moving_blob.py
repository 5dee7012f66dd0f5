"""Invented videos of a bright square, and doubles that take it for a face.

The square stands for the tight box of the landmarks: the double of the face detector finds it in
a frame, and the double of the network in a crop, both from brightness alone.
"""


import numpy as np
import torch

from study import weights
from study.config import TrainingConfig
from study.datasets import video
from study.heatmaps import marginal_targets
from study.landmarks import SCHEMES
from study.marking import faces

HEIGHT, WIDTH = 120, 160
SIZE, LENGTH = 32, 96  # F and L
DARK, BRIGHT = 40, 220
N = SCHEMES["ibug68"].count
CONFIG = TrainingConfig("detector1d", SIZE, LENGTH, channels=8, depth=1, decoder="local")
META = weights.Meta("detector1d", CONFIG, N, confidence=1.0)
TRACKER_META = weights.Meta("tracker1d", CONFIG, N, confidence=1.0, tracker={"lam": 0.3})


def layout():
    """68 places (N, 2) in [-0.5, 0.5], of which some touch each edge."""
    angle = torch.linspace(0, 2 * torch.pi, N + 1)[:N]
    places = torch.stack([angle.cos(), angle.sin()], dim=-1)
    low, high = places.amin(dim=0), places.amax(dim=0)
    return (places - low) / (high - low) - 0.5


def frame(box, dark=DARK, shape=(HEIGHT, WIDTH)):
    """A frame (H, W, 3) uint8 with a bright box x1, y1, x2, y2 px, whole px; None is no box."""
    picture = np.full((*shape, 3), dark, dtype=np.uint8)
    if box is not None:
        x1, y1, x2, y2 = box
        picture[y1 : y2 + 1, x1 : x2 + 1] = BRIGHT
    return picture


def square(x, y, side=24):
    """A box with its upper left px at x, y."""
    return x, y, x + side - 1, y + side - 1


def write(path, boxes, fps=10.0, **options):
    """A video with one box a frame; None is a frame without."""
    with video.Writer(path, fps, WIDTH, HEIGHT) as writer:
        for box in boxes:
            writer.write(frame(box, **options))


def _extent(bright):
    """Places of the first and last bright column and row of (H, W) bool, or None."""
    ys, xs = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return None if not len(xs) else np.array([xs[0], ys[0], xs[-1], ys[-1]], dtype=float)


def find(image, fine=True):
    """The bright box of a frame, as the face detector would place its own around it."""
    box = _extent(image[..., 0] > (DARK + BRIGHT) / 2)
    if box is None:
        return []
    place = faces.PLACEMENT
    side = (box[2:] - box[:2]).max() / place.scale
    middle = (box[:2] + box[2:]) / 2 - side * np.array([place.dx, place.dy])
    return [faces.Box(*(middle - side / 2), *(middle + side / 2), 1.0)]


def detect(images):
    """Heatmaps (1, N, L) of the layout in the bright part of a crop; flat where there is none."""
    bright = images[0, 0].numpy() > (DARK + BRIGHT) / 2 / 255
    box = _extent(bright)
    if box is None or bright.mean() > 0.9:
        return torch.zeros(1, N, LENGTH), torch.zeros(1, N, LENGTH)
    middle, side = torch.tensor(box[:2] + box[2:]) / 2, torch.tensor(box[2:] - box[:2])
    points = (layout() * side + middle).float()[None]
    return marginal_targets(points, SIZE, LENGTH, sigma=CONFIG.target_sigma)


class Tracker:
    """A tracker that refines nothing; its state counts the frames since the last reset."""

    def __init__(self):
        self.detector = detect
        self.pasts = []

    def refine(self, e_x, e_y, state=None):
        """The same heatmaps, and one more frame of past."""
        past = 0 if state is None else state[0]
        self.pasts.append(past)
        return (e_x, e_y), (past + 1,)

    def to(self, *_, **__):
        """Itself: it is on every device."""
        return self


class Device:
    """A device that is where everything is already."""

    def move(self, tensor):
        """The tensor itself."""
        return tensor


CPU = Device()
