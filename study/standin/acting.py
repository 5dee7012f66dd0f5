"""What a stand-in does in a video: head, mouth, eyes, light and camera, frame by frame.

Times are in frames of 1 / FPS s, angles in degrees; all that moves is a (T,) array or a list of T.
It depends on the generator that it is given and on T alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from study.standin.occluders import OCCLUDERS
from study.standin.parameters import Expression, Face, Pose
from study.standin.sample import sample_camera, sample_identity, sample_light, sample_scene
from study.standin.signals import FPS, bumps, crossing, limited, wander

NOSE = 7.0  # cm from the head's pivot to about the nose, whose speed is the face's
REACH = 26.0  # cm that an occluder is away where it enters and leaves


@dataclass(frozen=True)
class Scenario:
    """How far things move in the videos of one scenario; standard deviations or amplitudes.

    Attributes:
        turn: degrees, how far the head is turned away all the time.
        yaw, pitch, roll: degrees, how far it moves about that.
        place: how far it moves, as a fraction of the picture's height.
        hard: whether the light is of the challenging kind.
        fill: light added to what then lies in shadow.
        flicker: how much the light changes, a fraction.
        shake: px, how far the camera moves.
        shutter: share of a frame's time that the camera is open: its motion blur.
        passes: objects that pass before the face, a second.
    """

    turn: float
    yaw: float
    pitch: float
    roll: float
    place: float
    hard: bool = False
    fill: float = 0.0
    flicker: float = 0.0
    shake: float = 0.0
    shutter: float = 0.0
    passes: float = 0.0


SCENARIOS = {
    "S1": Scenario(turn=5, yaw=8, pitch=4, roll=3, place=0.012),
    "S2": Scenario(turn=12, yaw=15, pitch=6, roll=5, place=0.025, hard=True, fill=0.12,
                   flicker=0.08, shake=1.5, shutter=0.25),
    "S3": Scenario(turn=15, yaw=20, pitch=8, roll=8, place=0.035, hard=True, flicker=0.28,
                   shake=4.0, shutter=0.7, passes=1.4),
}


@dataclass(frozen=True)
class Pass:
    """An object that passes before the face.

    Attributes:
        kind: a key of occluders.OCCLUDERS.
        seed: of the object.
        middle: frame at which it is before the face.
        length: frames from where it enters to where it leaves.
        direction: (x, y) that it moves in, y up, of length 1.
    """

    kind: str
    seed: int
    middle: float
    length: float
    direction: tuple

    def offset(self, frame):
        """Where it is at a frame, (3,) cm from the face, or None where it is not there."""
        way = float(crossing(frame, self.middle, self.length))
        return np.array([*(REACH * way * np.array(self.direction)), 0.0]) if abs(way) < 1 else None


@dataclass(frozen=True)
class Performance:
    """A video before it is drawn.

    Attributes:
        faces: list of T Face of one identity, scene and camera; the camera's noise differs.
        pans: (T, 2) px, how far the background is shifted.
        passes: list of Pass.
    """

    faces: list
    pans: np.ndarray
    passes: list


def speech(rng, frames):
    """Syllables at 3-5 Hz in phrases with pauses: opening and rounding of the mouth, two signals.

    Opening is 0 … about 0.5, the less the quicker, rounding 0 … about 0.6; 0 in a pause.
    """
    rate, loud = rng.uniform(3.0, 5.0), rng.uniform(0.25, 0.42)
    middles, lengths, heights, rounds = [], [], [], []
    at = rng.uniform(-2, 2)
    while at < frames + FPS:
        for _ in range(rng.integers(4, 12)):
            length = FPS / rate * rng.uniform(0.8, 1.25)
            at += 0.5 * length
            middles.append(at)
            lengths.append(1.15 * length)
            heights.append(loud * rng.uniform(0.35, 1.0) * length * 4.0 / FPS)
            rounds.append(rng.uniform(0.2, 0.6) if rng.random() < 0.3 else 0.0)
            at += 0.5 * length
        at += FPS * rng.uniform(0.2, 0.6)
    time = np.arange(frames)
    return bumps(time, middles, lengths, heights), bumps(time, middles, lengths, rounds)


def blinks(rng, frames):
    """How far the eyes are closed, 0 … 1: blinks of 150-250 ms every 2-5 s.

    A video of less than some seconds has them more often, so that each of ten frames or more has
    one.
    """
    gap = min(3.5 * FPS, 0.5 * frames)
    middles, at = [], gap * rng.uniform(0.25, 0.9)
    while at < frames + 5:
        middles.append(round(at))  # on a frame, so that one shows the eyes closed
        at += max(gap * rng.uniform(0.6, 1.4), 8)
    lengths = rng.uniform(0.15, 0.25, len(middles)) * FPS + 1
    return np.minimum(bumps(np.arange(frames), middles, lengths, np.ones(len(middles))), 1)


def events(rng, frames, gap, length, height):
    """Now and then a bump: one in about `gap` s, `length` s long, up to `height` high."""
    middles, at = [], gap * rng.uniform(0, 1.5)
    while at * FPS < frames + length * FPS:
        middles.append(at * FPS)
        at += length + gap * rng.exponential()
    lengths = length * FPS * rng.uniform(0.8, 1.4, len(middles))
    heights = rng.uniform(0.4, 1.0, len(middles)) * height
    return bumps(np.arange(frames), middles, lengths, heights)


def gaze(rng, frames):
    """Where the eyes look, (T, 2), -1 … 1: fixations of 0.3-1.4 s, one frame between two."""
    out, at = np.empty((frames, 2)), 0
    while at < frames:
        stay = int(FPS * rng.uniform(0.3, 1.4))
        out[at:at + stay] = np.clip(rng.normal(0, [0.30, 0.18]), -0.8, 0.8)
        at += stay
    between = np.any(out[1:-1] != out[2:], axis=1)
    out[1:-1][between] = 0.5 * (out[:-2] + out[2:])[between]
    return out


def poses(rng, frames, scenario, talk):
    """Poses (T) of a head that moves as the scenario has it, and nods a little as it talks."""
    def moved(base, spread, low=0.12, high=0.7):
        return base + limited(wander(rng, low, high), np.arange(frames), spread)

    s = scenario
    yaw = moved(np.clip(rng.normal(0, s.turn), -24, 24), s.yaw)
    pitch = moved(np.clip(rng.normal(0, 0.4 * s.pitch), -8, 8), s.pitch) - 3.0 * talk
    roll = moved(np.clip(rng.normal(0, 0.4 * s.roll), -8, 8), s.roll)
    x = moved(rng.normal(0, 0.01), s.place, 0.1, 0.5)
    y = moved(rng.normal(0.08, 0.01), 0.6 * s.place, 0.1, 0.5)
    scale = rng.uniform(0.45, 0.51) * np.exp(moved(0, s.place, 0.1, 0.4))
    distance = float(rng.uniform(60, 130))
    return [Pose(*map(float, row), distance) for row in np.stack(
        [yaw, pitch, roll, x, y, scale], -1)]


def expressions(rng, frames, talk):
    """Expressions (T): speech, blinks, looks, brows and now and then a smile.

    Args:
        talk: the two signals of speech().
    """
    base = float(np.clip(rng.normal(0.12, 0.15), -0.2, 0.4))
    smile = base + events(rng, frames, 3.0, 1.6, 0.45)
    closed, look = blinks(rng, frames), gaze(rng, frames)
    raised = events(rng, frames, 1.6, 0.7, 0.8) * rng.choice([-0.4, 1.0])
    lag = float(rng.uniform(0.9, 1.0))  # one lid does not close quite as far
    opening, rounding = talk
    rows = np.stack([opening, smile * (1 - 0.6 * rounding), rounding, raised, closed, lag * closed,
                     *look.T], -1)
    return [Expression(mouth_open=o, smile=s, pucker=p, brow_raise=b, blink_left=left,
                       blink_right=right, gaze_x=gx, gaze_y=gy)
            for o, s, p, b, left, right, gx, gy in rows.tolist()]


def lights(rng, frames, scenario):
    """Lights (T): one lamp, whose strength and height change by the scenario's flicker."""
    lamp, amount, time = sample_light(rng, scenario.hard), scenario.flicker, np.arange(frames)
    strength = lamp.strength * np.exp(amount * wander(rng, 0.3, 2.5)(time))
    fill = (lamp.fill + scenario.fill) * np.exp(0.5 * amount * wander(rng, 0.3, 1.5)(time))
    up = lamp.direction[1] + 1.2 * amount * wander(rng, 0.2, 0.8)(time)
    aside = lamp.direction[0] * np.exp(amount * wander(rng, 0.2, 0.8)(time))
    rows = np.stack([aside, up, strength, fill], -1).tolist()
    return [replace(lamp, direction=(x, y, lamp.direction[2]), strength=s, fill=f)
            for x, y, s, f in rows]


def cameras(rng, poses_, pans, scenario, size):
    """Cameras (T): one camera whose noise differs from frame to frame, and its motion blur."""
    camera = sample_camera(rng, scenario.passes > 0)
    camera = replace(camera, blur=0.6 * camera.blur, noise=0.6 * camera.noise, motion=0.0)
    height, width = size
    table = np.array([[p.x * width, p.y * height, np.radians(p.yaw), np.radians(p.pitch)]
                      for p in poses_])
    reach = NOSE * np.array([p.scale for p in poses_]) * height / 13.6
    nose = table[:, :2] + reach[:, None] * np.sin(table[:, 2:] * [1, -1])
    speed = np.gradient(nose, axis=0) if len(nose) > 1 else np.zeros_like(nose)
    streak = scenario.shutter * np.hypot(*speed.T)
    angle = np.degrees(np.arctan2(speed[:, 1], speed[:, 0]))
    exposure = camera.exposure * np.exp(0.4 * scenario.flicker * wander(rng, 0.2, 1.0)(
        np.arange(len(nose))))
    return [replace(camera, motion=float(m), motion_angle=float(a), exposure=float(e),
                    seed=(camera.seed + i) % 2**31)
            for i, (m, a, e) in enumerate(zip(streak, angle, exposure, strict=True))]


def passes(rng, frames, scenario):
    """Objects that pass before the face, one after the other; list of Pass."""
    if not scenario.passes:
        return []
    count = max(1, round(scenario.passes * frames / FPS))
    slot = frames / count
    kinds = sorted(OCCLUDERS)
    out = []
    for i in range(count):
        length = min(rng.uniform(12, 22), 1.1 * slot)
        angle = rng.choice([0, np.pi]) + rng.normal(0, 0.35)
        out.append(Pass(str(rng.choice(kinds)), int(rng.integers(2**31)),
                        (i + rng.uniform(0.4, 0.6)) * slot, float(length),
                        (float(np.cos(angle)), float(np.sin(angle)))))
    return out


def perform(rng, scenario, frames, size):
    """A random Performance.

    Args:
        rng: np.random.Generator.
        scenario: a key of SCENARIOS.
        frames: T.
        size: (height, width) px of the picture.
    """
    height, width = size
    plan = SCENARIOS[scenario]
    identity = sample_identity(rng)
    place = replace(sample_scene(rng, plan.passes > 0), occluder="")
    talk = speech(rng, frames)
    pans = np.stack([limited(wander(rng, 0.2, 1.6), np.arange(frames), plan.shake)
                     for _ in range(2)], -1)
    posed = [replace(pose, x=pose.x + pan[0] / width, y=pose.y + pan[1] / height)
             for pose, pan in zip(poses(rng, frames, plan, talk[0]), pans.tolist(), strict=True)]
    acted, lit = expressions(rng, frames, talk), lights(rng, frames, plan)
    shot = cameras(rng, posed, pans, plan, size)
    faces = [Face(identity, *parts[:3], place, parts[3])
             for parts in zip(acted, posed, lit, shot, strict=True)]
    return Performance(faces, pans, passes(rng, frames, plan))
