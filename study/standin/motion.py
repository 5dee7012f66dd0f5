"""Stills set in motion: clips in 300VW's layout whose landmarks are known exactly.

A clip is one photograph seen by a moving camera: it is shifted, zoomed, turned and tilted, in one
resampling of the photograph a frame, and its points go through the same homography. The face
itself does not move. Three difficulties stand for the scenarios of 300VW: S1 moves gently; S2
moves more, and its light and colours drift; in S3 the light flickers, the camera moves fast and
loses focus, and things pass before the face.
"""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from study.datasets import formats, w300vw
from study.standin import folders, layout, passing
from study.standin.signals import FPS, bumps, limited, wander

VERSION = 1  # raise it whenever the same seed gives other pictures or points
RECORD, NOTE = "motion.json", "STILLS-IN-MOTION.txt"
NOTE_TEXT = """These are no videos. Each clip is one photograph of 300W, moved, turned, lit and
partly hidden by study/standin/motion.py; the folders and file names only follow 300VW's layout, so
that the same code reads both. sources.csv names the photographs, whose licence holds for the clips
as well. Do not report results on them as results on 300VW.
"""
DIFFICULTIES = ("S1", "S2", "S3")
SOURCES = "sources.csv"
DISTANCE = 2.5  # of the camera to the photograph, in sides of a frame
SHARE = 0.44, 0.54  # the face's longer side at rest, in sides of a frame
GRAIN = 61  # px that a frame's noise may be taken from elsewhere
OPEN = np.array([-1, 0, 1]) / 3  # moments of a frame's time while a camera with shutter 1 is open
SHARPEST = 0.45  # px of a frame: the blur (a standard deviation) that keeps shrinking from aliasing


@dataclass(frozen=True)
class Difficulty:
    """How far things move and change; standard deviations, which nothing exceeds 1.5 times.

    Attributes:
        shift: in sides of a frame.
        zoom: a fraction.
        turn, tilt: degrees, in the picture's plane and out of it.
        quick: Hz, the fastest of these motions.
        tremor: px of a frame of 256 px, of the hand that holds the camera.
        light, cast: fractions, of brightness and of single colours.
        flicker: Hz, how fast brightness changes.
        noise: grey levels.
        shutter: share of a frame's time that the camera is open: its motion blur.
        focus: px of a frame of 256 px, blur where the focus is lost.
        hidden: things that pass before the face, a second.
    """

    shift: float
    zoom: float
    turn: float
    tilt: float
    quick: float
    tremor: float
    light: float = 0.0
    cast: float = 0.0
    flicker: float = 1.0
    noise: float = 1.0
    shutter: float = 0.0
    focus: float = 0.0
    hidden: float = 0.0


LEVELS = {
    "S1": Difficulty(shift=0.015, zoom=0.025, turn=3, tilt=3, quick=0.5, tremor=0.12),
    "S2": Difficulty(shift=0.03, zoom=0.05, turn=8, tilt=7, quick=0.8, tremor=0.3, light=0.12,
                     cast=0.04, flicker=1.5, noise=2.5),
    "S3": Difficulty(shift=0.045, zoom=0.08, turn=13, tilt=11, quick=1.2, tremor=0.6, light=0.25,
                     cast=0.07, flicker=4.0, noise=5.0, shutter=0.6, focus=2.2, hidden=1.6),
}


def write(root, index, source, clips, frames, seed, size=256, jobs=2, progress=True):
    """Writes stills in motion under root in 300VW's layout, with lists and sources of their own.

    A folder that is already there with the same arguments, photographs and VERSION is left
    alone. Otherwise everything is written beside it under a temporary name, which then takes its
    place.

    Args:
        root: folder to make.
        index: table of `study.datasets.load("300W", source)`: clips of "train" are made from its
            training photographs, those of the tests from its common test photographs.
        source: the folder of the photographs.
        clips: dict from subset ("train", "S1", "S2", "S3") to how many. A photograph makes at
            most one clip while there are enough; those of one subset make none of another.
            Training clips are of the three difficulties in turn.
        frames: T of each.
        seed: of everything; the same bytes for the same seed, whatever the jobs.
        size: side of a frame, px.
        jobs: processes.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an unknown subset, a number below what is possible, too few photographs, or a
            photograph that cannot be read.
        FileExistsError: root holds something that is no set of stills in motion.
    """
    _check(clips, frames, size)
    plan = plan_clips(index, clips, seed)
    record = {"clips": dict(sorted(clips.items())), "frames": frames, "seed": seed, "size": size,
              "source": fingerprint(plan, source), "version": VERSION}
    with folders.replacing(root, record, RECORD, {NOTE: NOTE_TEXT}) as made:
        if made is None:
            return
        layout.write_lists(made, [(clip.name, clip.subset) for clip in plan])
        _write_sources(made, plan)
        tasks = [(str(made), str(source), clip, frames, seed, size) for clip in plan]
        total = len(plan) * frames
        with tqdm(total=total, desc="set in motion", unit="frame", disable=not progress) as bar:
            for count in folders.each(_write_one, tasks, jobs):
                bar.update(count)


def _check(clips, frames, size):
    unknown = sorted(set(clips) - set(w300vw.SUBSETS.values()))
    if unknown:
        raise ValueError(f"unknown subsets {unknown}, known are {[*w300vw.SUBSETS.values()]}")
    for name, value, least in [("frames", frames, 1), ("size", size, 16),
                               *((subset, count, 0) for subset, count in clips.items())]:
        if value < least:
            raise ValueError(f"{name} is {value}, below {least}")


# --- which photographs ------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """A clip to be made.

    Attributes:
        name: of its folder, "0001" …
        subset: "train", "S1", "S2" or "S3".
        level: its difficulty, a key of LEVELS.
        photograph, face: what it is made from: the index's photograph and id.
        image: path under the source's folder.
        points: (68, 2) px of the image.
    """

    name: str
    subset: str
    level: str
    photograph: str
    face: str
    image: str
    points: np.ndarray


def plan_clips(index, clips, seed):
    """Chooses a face for each clip: a list of Clip, in the order of their names."""
    train, common = _photographs(index)
    tests = {subset: clips.get(subset, 0) for subset in DIFFICULTIES}
    rng = np.random.default_rng([seed, zlib.crc32(b"photographs")])
    chosen = {**_dealt(rng, train, {"train": clips.get("train", 0)}, "training"),
              **_dealt(rng, common, tests, "common test")}
    plan = []
    for subset, faces in chosen.items():
        for i, face in enumerate(faces):
            level = DIFFICULTIES[i % 3] if subset == "train" else subset
            plan.append(Clip(f"{len(plan) + 1:04d}", subset, level, face.photograph, face.id,
                             face.image, np.asarray(face.points, float)))
    return plan


def _photographs(index):
    """Photograph -> its faces (rows), of the training and of the common test photographs.

    A photograph of which one face is in the training and another in the test set is in neither.
    """
    grouped = {"train": {}, "common": {}}
    for row in index.itertuples():
        if row.subset in grouped:
            grouped[row.subset].setdefault(row.photograph, []).append(row)
    both = set(grouped["train"]) & set(index.photograph[index.split == "test"])
    return [{name: rows for name, rows in grouped[subset].items() if name not in both}
            for subset in ("train", "common")]


def _dealt(rng, photographs, counts, kind):
    """Deals photographs to subsets, none to two of them; subset -> a face for each of its clips.

    Where there are fewer photographs than clips, each subset gets its share and uses them again.
    """
    wanted = {subset: count for subset, count in counts.items() if count}
    if len(photographs) < len(wanted):
        raise ValueError(f"{len(photographs)} {kind} photographs for {', '.join(wanted)}")
    names = [sorted(photographs)[i] for i in rng.permutation(len(photographs))]
    total, dealt, start = sum(wanted.values()), {}, 0
    for left, (subset, count) in zip(range(len(wanted) - 1, -1, -1), wanted.items(), strict=True):
        share = min(count, max(1, len(names) * count // total))
        hand = names[start:start + min(share, len(names) - start - left)]
        start += len(hand)
        dealt[subset] = [_one(rng, photographs[hand[i % len(hand)]]) for i in range(count)]
    return dealt


def _one(rng, faces):
    return faces[int(rng.integers(len(faces)))]


def fingerprint(plan, source):
    """Hex digest of all that a plan takes from its source: ids, points and files."""
    parts = []
    for clip in plan:
        image = formats.sha256((Path(source) / clip.image).read_bytes())
        parts += [clip.face, clip.image, clip.photograph, clip.points.tobytes().hex(), image]
    return formats.sha256("\n".join(parts).encode())


def _write_sources(root, plan):
    with open(root / SOURCES, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["video", "photograph"])
        rows.writerows([clip.name, clip.photograph] for clip in plan)


# --- where the camera is ----------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Where a camera is: what it does to a face that was in the middle of the frame.

    Attributes:
        x, y: shift, in sides of a frame.
        zoom: factor.
        turn: degrees, clockwise.
        pan, tilt: degrees by which the photograph's right and lower side are turned away.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    turn: float = 0.0
    pan: float = 0.0
    tilt: float = 0.0


def homography(centre, scale, size, view):
    """The matrix (3, 3) from px of a photograph to px of a frame, pixel centres at integers.

    Args:
        centre: (2,) px of the photograph that a camera at rest sees in the middle.
        scale: px of the frame a px of the photograph, for a camera at rest.
        size: side of the frame, px.
        view: View.
    """
    turn, pan, tilt = np.radians([view.turn, view.pan, view.tilt])
    c, s = np.cos, np.sin
    about_z = np.array([[c(turn), -s(turn), 0], [s(turn), c(turn), 0], [0, 0, 1]])
    about_y = np.array([[c(pan), 0, -s(pan)], [0, 1, 0], [s(pan), 0, c(pan)]])
    about_x = np.array([[1, 0, 0], [0, c(tilt), -s(tilt)], [0, s(tilt), c(tilt)]])
    turned = about_x @ about_y @ about_z  # z away from the camera
    to_plane = np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])
    away = DISTANCE * size
    place = np.column_stack([turned[:, 0], turned[:, 1], [0, 0, away]])  # of the plane in space
    middle = (size - 1) / 2
    near = view.zoom * away
    lens = np.array([[near, 0, middle + view.x * size], [0, near, middle + view.y * size],
                     [0, 0, 1]])
    matrix = lens @ place @ to_plane
    return matrix / matrix[2, 2]


def moved(matrix, points):
    """Points (N, 2) through a homography (3, 3)."""
    out = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return out[:, :2] / out[:, 2:]


@dataclass(frozen=True)
class CameraPath:
    """A camera's way: smooth signals of time.

    Attributes:
        level: Difficulty, how far it goes.
        slow: six signals: x, y, zoom, turn, pan, tilt.
        shaken: two signals, the tremor's x and y.
    """

    level: Difficulty
    slow: tuple
    shaken: tuple

    def views(self, times):
        """Views at times (n,) in frames, fractions included; a list of n."""
        level = self.level
        spreads = (level.shift, level.shift, level.zoom, level.turn, level.tilt, level.tilt)
        rows = np.stack([limited(signal, times, spread)
                         for signal, spread in zip(self.slow, spreads, strict=True)], -1)
        rows[:, :2] += level.tremor / 256 * np.stack([s(times) for s in self.shaken], -1)
        rows[:, 2] = np.exp(rows[:, 2])
        return [View(*row) for row in rows.tolist()]


def sample_path(rng, level):
    """A random CameraPath of a Difficulty."""
    slow = tuple(wander(rng, 0.15, level.quick) for _ in range(6))
    return CameraPath(level, slow, (wander(rng, 2.5, 8.0), wander(rng, 2.5, 8.0)))


# --- what it films ----------------------------------------------------------------------------


def film(photograph, points, level, rng, frames, size):
    """Sets a photograph in motion.

    Args:
        photograph: (H, W, 3) uint8 RGB.
        points: (68, 2) px of the photograph.
        level: a key of LEVELS.
        rng: np.random.Generator.
        frames: T.
        size: S, side of a frame, px.

    Yields:
        image (S, S, 3) uint8 RGB, points (68, 2) px of the frame, hidden (68,) bool.
    """
    level = LEVELS[level]
    low, high = points.min(axis=0), points.max(axis=0)
    scale = rng.uniform(*SHARE) * size / (high - low).max()
    path = sample_path(rng, level)
    things = []
    if level.hidden:
        things = passing.sample_things(rng, frames, level.hidden, size, scale * (high - low))
    tables, blurs = _tables(rng, level, frames), _focus(rng, level, frames)
    grain = _grain(rng, level.noise, size)
    stage = Stage(photograph, (low + high) / 2, scale, size, things)
    moments = np.arange(frames)[:, None] + level.shutter * OPEN  # (T, moments)
    views = path.views(moments.ravel())
    ways = np.array([stage.matrix(view) for view in views]).reshape(frames, len(OPEN), 3, 3)
    stage.prepare(ways)
    for time, (way, table, blur) in enumerate(zip(ways, tables, blurs, strict=True)):
        image = cv2.LUT(stage.expose(way, moments[time]), table)
        if blur > 0.15:
            image = cv2.GaussianBlur(image, (0, 0), blur * size / 256)
        x, y = rng.integers(0, GRAIN, 2)
        image = cv2.add(image, grain[y:y + size, x:x + size], dtype=cv2.CV_8U)
        seen = moved(way[len(OPEN) // 2], points)
        yield image, seen, stage.hidden(seen, way[len(OPEN) // 2], time)


class Stage:
    """A photograph before a camera, and what passes between the two.

    Attributes:
        photograph: (H, W, 3) uint8 RGB.
        centre: (2,) px of the photograph, the face's middle.
        scale: px of the frame a px of the photograph, for a camera at rest.
        size: S, side of a frame, px.
        things: list of passing.Thing.
    """

    def __init__(self, photograph, centre, scale, size, things=()):
        self.photograph, self.centre, self.scale = photograph, np.asarray(centre, float), scale
        self.size, self.things = size, things
        self._picture, self._origin = None, None

    def matrix(self, view):
        """The homography from the photograph to the frame of a View."""
        return homography(self.centre, self.scale, self.size, view)

    def prepare(self, ways):
        """Makes what all frames need of the photograph, for cameras (..., 3, 3).

        It is smoothed once for all frames, so that shrinking does not alias, and surrounded by a
        blurred reflection of itself, so that no edge follows the face.
        """
        last = self.size - 1
        corners = np.array([[0, 0], [last, 0], [0, last], [last, last]], float)
        spots = np.concatenate([moved(np.linalg.inv(way), corners)
                                for way in ways.reshape(-1, 3, 3)])
        margin = 4 + 3 * max(1 / self.scale, 1)  # what smoothing and interpolation look at
        low = np.floor(spots.min(axis=0) - margin).astype(int)
        high = np.ceil(spots.max(axis=0) + margin).astype(int) + 1
        self._origin = low
        self._picture = _surrounded(self.photograph, low, high, 0.12 * self.size / self.scale)
        if self.scale < 1:
            sigma = SHARPEST * np.sqrt(1 / self.scale**2 - 1) + 1e-3
            self._picture = cv2.GaussianBlur(self._picture, (0, 0), sigma)

    def expose(self, ways, times):
        """A frame (S, S, 3) uint8: the mean of the moments while the camera is open.

        Args:
            ways: (moments, 3, 3) homographies.
            times: (moments,) frames.
        """
        still = np.ptp(times) == 0
        shift = np.array([[1, 0, self._origin[0]], [0, 1, self._origin[1]], [0, 0, 1.0]])
        smooth = cv2.INTER_CUBIC if self.scale > 1 else cv2.INTER_LINEAR
        shots = [cv2.warpPerspective(self._picture, way @ shift, (self.size, self.size),
                                     flags=smooth, borderMode=cv2.BORDER_REPLICATE)
                 for way in (ways[:1] if still else ways)]
        image = shots[0] if still else np.round(
            np.mean(shots, axis=0, dtype=np.float32)).astype(np.uint8)
        span = np.ptp(times) * len(times) / max(len(times) - 1, 1)  # that the camera is open
        middle = times[len(times) // 2]
        way = ways[len(ways) // 2]
        for thing in self.things:
            if thing.there(middle):
                passing.cover(image, thing, self._moments(thing, middle, span, way))
        return image

    def hidden(self, points, way, time):
        """Which points (N, 2) px of the frame a thing hides at a time, (N,) bool."""
        at = moved(way, self.centre[None])[0]
        return np.any([np.zeros(len(points), bool),
                       *(thing.hides(points, time, at) for thing in self.things)], axis=0)

    def _moments(self, thing, middle, span, way):
        """When a thing is looked at for one frame: so often that it does not jump by much."""
        at = moved(way, self.centre[None])[0]
        count = int(np.clip(np.ceil(span * thing.speed(middle) / 2), 1, 8))
        steps = span * ((np.arange(count) + 0.5) / count - 0.5)
        return [(middle + step, at) for step in steps]


def _surrounded(photograph, low, high, soft):
    """A part of a photograph that may reach beyond it, where it is reflected and blurred.

    Args:
        photograph: (H, W, 3) uint8.
        low, high: (2,) px (x, y) of the part's first corner, and beyond its last.
        soft: px, both of the blur (a standard deviation) and of where it sets in.
    """
    size = np.array(photograph.shape[1::-1])
    first, last = np.clip(low, 0, size - 1), np.clip(high, 1, size)
    before, after = first - low, high - last
    inner = photograph[first[1]:last[1], first[0]:last[0]]
    edges = int(before[1]), int(after[1]), int(before[0]), int(after[0])
    picture = cv2.copyMakeBorder(inner, *edges, cv2.BORDER_REFLECT_101)
    if not any(edges):
        return picture
    blurred = _blurred(picture, soft)
    inside = cv2.copyMakeBorder(np.full(inner.shape[:2], 0, np.uint8), *edges,
                                cv2.BORDER_CONSTANT, value=1)
    far = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    share = np.clip(far / soft, 0, 1)[..., None]
    return np.round(picture + share * (blurred - picture.astype(np.float32))).astype(np.uint8)


def _blurred(picture, sigma):
    """A Gaussian blur of large sigma (px), cheap: of a picture made smaller."""
    step = max(1, int(sigma / 3))
    small = cv2.resize(picture, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small.astype(np.float32), (0, 0), sigma / step)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _tables(rng, level, frames):
    """What light and colours do to grey levels, (T, 1, 256, 3) uint8: gain, gamma and cast."""
    time, grey = np.arange(frames), np.linspace(0, 1, 256)
    gain = np.exp(limited(wander(rng, 0.3, level.flicker), time, level.light) - 0.4 * level.light)
    gamma = np.exp(limited(wander(rng, 0.2, 0.8), time, 0.8 * level.light))
    cast = np.exp(np.stack([limited(wander(rng, 0.15, 0.6), time, level.cast)
                            for _ in range(3)], -1))
    out = (gain[:, None] * cast)[:, None] * (grey ** gamma[:, None])[..., None]
    return np.clip(np.round(255 * out), 0, 255).astype(np.uint8)[:, None]


def _focus(rng, level, frames):
    """Blur of each frame (T), px of a frame of 256 px: the focus is lost now and then."""
    count = max(1, round(frames / FPS))
    middles = rng.uniform(0, frames, count)
    heights = level.focus * rng.uniform(0.5, 1.0, count)
    out = bumps(np.arange(frames), middles, rng.uniform(0.4, 0.9, count) * FPS, heights)
    return np.minimum(out, level.focus)


def _grain(rng, amount, size):
    """Noise of a standard deviation, (size + GRAIN, size + GRAIN, 3) int16, of which a frame takes
    a part from another place each time."""
    side = size + GRAIN
    return np.round(amount * rng.standard_normal((side, side, 3), dtype=np.float32)
                    ).astype(np.int16)


def _write_one(task):
    """Writes one clip; returns how many frames it has."""
    root, source, clip, frames, seed, size = task
    cv2.setNumThreads(1)
    photograph = np.asarray(formats.read_image(Path(source) / clip.image))
    rng = np.random.default_rng([seed, zlib.crc32(clip.face.encode()), int(clip.name)])
    shots = film(photograph, clip.points, clip.level, rng, frames, size)
    return layout.write_clip(Path(root) / clip.name, shots, FPS)
