"""Opaque things that pass before a photographed face: hands, boxes, bars, blobs; flat and painted.

A thing is painted once, around the middle of a canvas of twice a frame's side, so that an arm or a
bar reaches out of the frame; each frame then places it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from study.standin.signals import FPS, crossing
from study.standin.skin import SHIFT, TONES, fixed, noise

SEEN = 127  # of 255: a place is hidden where the thing covers more of it


@dataclass(frozen=True)
class Thing:
    """Something that passes.

    Attributes:
        paint: (2S, 2S, 4) uint8: RGB times how much is covered, and how much is.
        middle: frame at which it is before the face.
        length: frames from where it enters to where it leaves.
        way: (2,) px of a frame from the face's middle to where it leaves.
        miss: (2,) px by which it passes beside the face's middle.
        spin: degrees that it turns by on half its way.
    """

    paint: np.ndarray
    middle: float
    length: float
    way: np.ndarray
    miss: np.ndarray
    spin: float

    def there(self, time):
        """Whether it passes at a time."""
        return bool(abs(crossing(time, self.middle, self.length)) < 1)

    def speed(self, time):
        """About how fast it moves, px a frame."""
        step = np.diff(crossing(np.array([time - 0.5, time + 0.5]), self.middle, self.length))[0]
        return float(step * np.linalg.norm(self.way))

    def matrix(self, time, at):
        """Affine matrix (2, 3) from px of the paint to px of the frame.

        Args:
            time: in frames.
            at: (2,) px of the frame, the face's middle.
        """
        along = float(crossing(time, self.middle, self.length))
        middle = (len(self.paint) - 1) / 2
        turn = cv2.getRotationMatrix2D((middle, middle), self.spin * along, 1.0)
        turn[:, 2] += at + along * self.way + self.miss - middle
        return turn

    def hides(self, points, time, at):
        """Which of some points (N, 2) px of the frame it hides at a time, (N,) bool."""
        if not self.there(time):
            return np.zeros(len(points), bool)
        back = cv2.invertAffineTransform(self.matrix(time, at))
        spots = np.round(points @ back[:, :2].T + back[:, 2]).astype(int)
        inside = ((spots >= 0) & (spots < len(self.paint))).all(axis=1)
        x, y = np.where(inside[:, None], spots, 0).T
        return inside & (self.paint[y, x, 3] > SEEN)


def sample_things(rng, frames, rate, size, face):
    """Random things that pass one after the other, a list of Thing.

    Args:
        rng: np.random.Generator.
        frames: T.
        rate: things a second; at least one passes.
        size: S, side of a frame, px.
        face: (width, height) px of the face in the frame, of which a thing hides 18 to 42 %.
    """
    count = max(1, round(rate * frames / FPS))
    slot = frames / count
    return [_sample(rng, (i + rng.uniform(0.4, 0.6)) * slot, 1.1 * slot, size, np.asarray(face))
            for i in range(count)]


def _sample(rng, middle, most, size, face):
    kind = str(rng.choice(["hand", "hand", "box", "bar", "blob"]))
    area = rng.uniform(0.18, 0.42) * face.prod()
    angle = rng.choice([0, np.pi]) + rng.normal(0, 0.4)
    way = np.array([np.cos(angle), np.sin(angle)])
    paint, reach = KINDS[kind](rng, area, size, face, angle)
    paint[..., :3] = (paint[..., :3] * (paint[..., 3:] / 255.0)).astype(np.uint8)
    miss = rng.normal(0, 0.10) * face * [-way[1], way[0]]
    length = min(rng.uniform(8, 22), most)
    return Thing(paint, middle, length, way * (0.75 * size + reach), miss, rng.normal(0, 12))


def cover(image, thing, moments):
    """Puts a thing over an image (S, S, 3) uint8, in place.

    Args:
        moments: list of (time, at), see `Thing.matrix`; their mean is seen.
    """
    moves = [thing.matrix(time, at) for time, at in moments]
    left, top, right, bottom = _reach(thing, moves, image.shape)
    if right <= left or bottom <= top:
        return
    total = np.zeros((bottom - top, right - left, 4), np.uint16)
    for move in moves:
        total += cv2.warpAffine(thing.paint, move - [[0, 0, left], [0, 0, top]],
                                (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    part, full = image[top:bottom, left:right], 255 * len(moves)
    behind = part.astype(np.uint32) * (full - total[..., 3:])
    part[:] = np.minimum((behind + 255 * total[..., :3].astype(np.uint32) + full // 2) // full, 255)


def _reach(thing, moves, shape):
    """The part of a frame that a moved thing may cover: left, top, right, bottom px."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(thing.paint[..., 3]))
    corners = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]])
    spots = np.concatenate([corners @ move[:, :2].T + move[:, 2] for move in moves])
    low = np.clip(np.floor(spots.min(axis=0)) - 1, 0, shape[1::-1]).astype(int)
    high = np.clip(np.ceil(spots.max(axis=0)) + 2, 0, shape[1::-1]).astype(int)
    return *low, *high


# --- what they look like ----------------------------------------------------------------------


def _canvas(size):
    return np.zeros((2 * size, 2 * size, 4), np.uint8)


def _stamp(canvas, polygon, colour):
    """Fills a polygon (n, 2) px from the canvas's middle with a colour (3,) or a picture of it."""
    middle = (len(canvas) - 1) / 2
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [fixed(polygon + middle)], 255, cv2.LINE_AA, SHIFT)
    left, top, width, height = cv2.boundingRect(mask)
    where = slice(top, top + height), slice(left, left + width)
    share = mask[where][..., None] / 255.0
    region, picture = canvas[where], np.asarray(colour)
    picture = picture[where] if picture.ndim == 3 else picture
    inside = region[..., 3:] > 0
    mixed = region[..., :3] + share * (picture - region[..., :3])
    region[..., :3] = np.clip(np.where(inside, mixed, picture), 0, 255)
    region[..., 3] = np.maximum(region[..., 3], mask[where])


def _texture(rng, size, colour, amount):
    """A picture (2S, 2S, 3) of a colour (3,) with soft and fine spots."""
    spots = 1 + amount * (noise(rng, 2 * size, 2 * size, 12) + noise(rng, 2 * size, 2 * size, 60))
    return (np.clip(spots, 0.2, 2)[..., None] * np.asarray(colour)).astype(np.float32)


def _rectangle(width, height, turn):
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5 * [width, height]
    return _turned(corners, turn)


def _turned(points, turn):
    c, s = np.cos(turn), np.sin(turn)
    return points @ np.array([[c, s], [-s, c]])


def _capsule(start, end, radius):
    """A finger's outline: round at both ends."""
    along = np.subtract(end, start)
    turn = np.arctan2(along[1], along[0])
    angle = np.linspace(-np.pi / 2, np.pi / 2, 9)
    tip = radius * np.stack([np.cos(angle), np.sin(angle)], -1)
    cap = np.concatenate([tip + [np.hypot(*along), 0], -tip])
    return _turned(cap, turn) + start


def _hand(rng, area, size, _face, _angle):
    """Four fingers, a thumb, a palm and an arm; fingers up, more or less."""
    tone = TONES[rng.integers(len(TONES))] * 255 * rng.uniform(0.75, 1.05)
    sleeve = rng.uniform(20, 220, 3) if rng.random() < 0.5 else tone * 0.97
    unit = np.sqrt(area / 3.3)  # px; the hand without its arm covers about 3.3 of its square
    turn, mirror = rng.normal(0, 0.5), rng.choice([-1, 1])
    spread, canvas = rng.uniform(0.03, 0.16), _canvas(size)

    def put(polygon, colour):
        _stamp(canvas, _turned(polygon * [mirror, 1] * unit + [0, 0.35 * unit], turn), colour)

    put(np.array([[-0.36, 0.7], [0.36, 0.7], [0.5, 12], [-0.5, 12]]), sleeve)
    put(_capsule((0.45, 0.55), (1.0, -0.15), 0.17), tone * 0.9)
    for i, length in enumerate((0.95, 1.15, 1.1, 0.8)):
        x = (1.5 - i) * 0.3
        end = x + spread * (1.5 - i) * 2, -0.35 - length
        put(_capsule((x, -0.2), end, 0.15), tone * (0.86, 1.0, 0.93, 0.98)[i])
    angle = np.linspace(0, 2 * np.pi, 30)
    palm = np.stack([0.64 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.6,
                     0.2 + 0.7 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.6], -1)
    put(palm, _texture(rng, size, tone, 0.05))
    for x in (-0.3, 0.0, 0.3):
        put(_capsule((x, -0.42), (x * 1.05, -0.28), 0.025), tone * 0.7)
    return canvas, 2.2 * unit


def _box(rng, area, size, _face, _angle):
    """A card, a book or a sign, with lines, a field or spots on it."""
    aspect, turn = rng.uniform(0.6, 1.6), rng.normal(0, 0.35)
    width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
    ground, ink = rng.uniform(10, 245, (2, 3))
    canvas = _canvas(size)
    _stamp(canvas, _rectangle(width, height, turn), _texture(rng, size, ground, 0.06))
    kind = rng.integers(3)
    if kind == 0:
        for y in np.linspace(-0.36, 0.36, 6):
            line = _rectangle(width * rng.uniform(0.4, 0.8), 0.05 * height, 0)
            _stamp(canvas, _turned(line + [0, y * height], turn), ink)
    if kind == 1:
        _stamp(canvas, _rectangle(0.6 * width, 0.6 * height, turn), ink)
    if kind == 2:
        for _ in range(7):
            spot = _blob_outline(rng, 0.12 * min(width, height))
            at = rng.uniform(-0.36, 0.36, 2) * [width, height]
            _stamp(canvas, _turned(spot + at, turn), ink)
    return canvas, 0.6 * max(width, height)


def _bar(rng, area, size, face, angle):
    """A pole, an arm or a strap, longer than the frame, that lies across its way."""
    turn = angle + rng.normal(0, 0.25)
    thick = 0.85 * area / face[1]
    colour, stripe = rng.uniform(10, 235, (2, 3))
    canvas = _canvas(size)
    _stamp(canvas, _rectangle(thick, 3.0 * size, turn), _texture(rng, size, colour, 0.08))
    if rng.random() < 0.5:
        _stamp(canvas, _rectangle(0.2 * thick, 3.0 * size, turn), stripe)
    else:
        for y in np.arange(-1.0, 1.0, 0.22):
            mark = _rectangle(thick, 0.06 * size, 0) + [0, y * size]
            _stamp(canvas, _turned(mark, turn), stripe)
    return canvas, 0.6 * thick


def _blob_outline(rng, radius):
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wave = sum(rng.uniform(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 7)) for k in (2, 3, 5))
    return radius * (1 + wave)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def _blob(rng, area, size, _face, _angle):
    """A ball, a leaf, a head: something round with coarse spots."""
    radius = np.sqrt(area / np.pi)
    canvas = _canvas(size)
    picture = _texture(rng, size, rng.uniform(15, 240, 3), rng.uniform(0.1, 0.5))
    _stamp(canvas, _blob_outline(rng, radius), picture)
    return canvas, 1.3 * radius


KINDS = {"hand": _hand, "box": _box, "bar": _bar, "blob": _blob}
