"""Draws a random face's parameters, in two difficulties."""

import numpy as np

from study.standin.occluders import OCCLUDERS
from study.standin.parameters import (
    Camera,
    Expression,
    Face,
    Hair,
    Identity,
    Light,
    Pose,
    Scene,
)
from study.standin.scene import BACKGROUNDS

DIFFICULTIES = ("common", "challenging")
HAIR_COLOURS = np.array([[0.07, 0.06, 0.06], [0.13, 0.09, 0.07], [0.25, 0.16, 0.10],
                         [0.38, 0.25, 0.15], [0.62, 0.46, 0.28], [0.80, 0.66, 0.44],
                         [0.48, 0.22, 0.11], [0.58, 0.57, 0.56], [0.86, 0.85, 0.83]])
IRISES = np.array([[0.23, 0.14, 0.08], [0.33, 0.20, 0.10], [0.40, 0.30, 0.16], [0.35, 0.42, 0.24],
                   [0.32, 0.45, 0.55], [0.42, 0.52, 0.60], [0.38, 0.42, 0.44]])
SHORT = ("short", "crop", "swept", "buzz", "bald", "curly", "short", "swept", "afro", "fringe",
         "beanie")
LONG = ("long", "long_swept", "bob", "bob_fringe", "tied", "curly_long", "long", "long_swept",
        "fringe", "afro", "scarf", "bob", "short")


def sample_face(rng, difficulty):
    """A random Face.

    Args:
        rng: np.random.Generator.
        difficulty: "common" or "challenging", which turns, hides, lights and blurs more.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty is {difficulty!r}, known are {', '.join(DIFFICULTIES)}")
    hard = difficulty == "challenging"
    identity = sample_identity(rng)
    return Face(identity, sample_expression(rng, hard), sample_pose(rng, hard),
                sample_light(rng, hard), sample_scene(rng, hard), sample_camera(rng, hard))


def sample_identity(rng):
    """A random Identity: proportions, skin, hair."""
    feminine = rng.random() < 0.5
    skin = float(np.clip(rng.beta(1.0, 1.7), 0, 1))
    age = float(rng.beta(1.5, 3.0))
    hair, brows = _hair(rng, feminine, skin, age)

    def n(mean, spread):
        return float(mean + spread * np.clip(rng.normal(), -2.2, 2.2))

    bearded = not feminine and rng.random() < 0.45
    dark = IRISES[:3] if skin > 0.45 and rng.random() < 0.92 else IRISES
    iris = dark[rng.integers(0, len(dark))] * rng.uniform(0.8, 1.15)
    return Identity(
        seed=int(rng.integers(2**31)), width=n(0.98 if feminine else 1.01, 0.035),
        jaw=n(-0.5 if feminine else 0.35, 0.45), nose_length=n(1.0, 0.05), philtrum=n(1.0, 0.07),
        chin=n(0.96 if feminine else 1.02, 0.06), chin_forward=n(0.0, 0.25), forehead=n(1.0, 0.04),
        fullness=n(0.35, 0.25), cheekbones=n(0.5, 0.25),
        brow_ridge=n(0.15 if feminine else 0.7, 0.25),
        nose_width=n(0.94 + 0.22 * skin, 0.09), nose_height=n(1.02 - 0.15 * skin, 0.11),
        nose_bump=n(0.15, 0.5), nose_tip=n(0.08 if feminine else 0.0, 0.12),
        eye_distance=n(0, 0.10), eye_size=n(1.05 if feminine else 0.98, 0.045),
        eye_height=n(1.06 if feminine else 0.95, 0.13), eye_tilt=n(0.14, 0.13),
        eye_fold=float(rng.uniform(0.1, 1)), brow_height=n(0.1 if feminine else -0.1, 0.13),
        brow_arch=float(rng.uniform(0.1, 0.9)),
        brow_thickness=n(0.3 if feminine else 0.65, 0.18), brow_tilt=n(0.0, 0.18),
        mouth_width=n(0.98, 0.065), upper_lip=n(0.92 + 0.35 * skin, 0.16),
        lower_lip=n(0.94 + 0.28 * skin, 0.14), ears=n(1.0, 0.07),
        neck=n(0.90 if feminine else 1.05, 0.05), skin=skin, undertone=n(0.0, 0.6),
        blush=float(rng.uniform(0.1, 0.9)), freckles=float(rng.beta(0.4, 3)) * (1 - skin), age=age,
        beard=float(rng.uniform(0.1, 1.0)) * bearded,
        moustache=float(rng.uniform(0.1, 0.9)) * bearded,
        makeup=float(rng.beta(1.2, 1.6)) * feminine,
        lip_colour=_lips(rng, skin, feminine), iris=tuple(map(float, np.clip(iris, 0, 1))),
        brow_colour=brows, hair=hair)


def _hair(rng, feminine, skin, age):
    """Hair of the head, and the brows' colour."""
    dark = skin > 0.42 and rng.random() < 0.96
    natural = HAIR_COLOURS[rng.integers(0, 3 if dark else 7)]
    grey = rng.random() < (age - 0.35) * 1.2
    colour = HAIR_COLOURS[rng.integers(7, 9)] if grey else natural
    colour = np.clip(colour * rng.uniform(0.85, 1.15), 0, 1)
    styles = LONG if feminine else SHORT
    style = styles[rng.integers(0, len(styles))]
    recede = float(rng.uniform(0, 1.6) * age) if not feminine else 0.0
    brows = np.minimum(0.75 * colour + 0.02, 0.5)
    hair = Hair(style, tuple(map(float, colour)), float(rng.uniform(0.6, 1.3)),
                float(rng.uniform(0, 1)), recede, float(rng.uniform(-0.7, 0.7)))
    return hair, tuple(map(float, brows))


def _lips(rng, skin, feminine):
    natural = np.array([0.74, 0.42, 0.40]) * (1 - skin) + np.array([0.42, 0.22, 0.21]) * skin
    if feminine and rng.random() < 0.55:
        paint = np.array([[0.75, 0.15, 0.20], [0.80, 0.35, 0.40], [0.55, 0.12, 0.20],
                          [0.72, 0.30, 0.24]])[rng.integers(0, 4)]
        natural = natural + rng.uniform(0.3, 0.8) * (paint * (1 - 0.3 * skin) - natural)
    return tuple(map(float, np.clip(natural * rng.uniform(0.92, 1.08, 3), 0, 1)))


def sample_expression(rng, hard=False):
    """A random Expression; hard: wider mouths, more closed eyes, odder mixtures."""
    wide = 1.0 if hard else 0.6
    opens = rng.random() < (0.55 if hard else 0.30)
    smile = rng.uniform(0.2, 1) if rng.random() < 0.6 else rng.uniform(-0.35, 0.25) * wide
    pucker = float(rng.uniform(0.2, 1) if rng.random() < (0.16 if hard else 0.05) else 0)
    smile = smile * (1 - pucker)
    blink = float(rng.beta(0.5, 4.0)) if not hard else float(rng.beta(0.6, 2.0))
    wink = float(rng.random() < (0.10 if hard else 0.02))
    return Expression(
        mouth_open=float(rng.beta(1.3, 1.5 if hard else 3.0)) * opens, smile=float(smile),
        pucker=pucker, teeth=float(rng.uniform(0.3, 1) * (smile > 0.35 and rng.random() < 0.75)),
        brow_raise=float(np.clip(rng.normal(0, 0.4) * wide, -0.8, 1)),
        frown=float(rng.uniform(0.3, 1) if rng.random() < (0.30 if hard else 0.12) else 0),
        blink_left=min(1.0, blink + wink * rng.random()), blink_right=blink,
        wide_eyes=float(rng.uniform(0, 1) if rng.random() < 0.15 else 0),
        gaze_x=float(np.clip(rng.normal(0, 0.35), -1, 1)),
        gaze_y=float(np.clip(rng.normal(0, 0.25), -1, 1)),
        skew=float(rng.normal(0, 0.45 if hard else 0.15)))


def sample_pose(rng, hard=False):
    """A random Pose; hard: turned away by up to 75 degrees, tilted by up to 45."""
    if hard:
        yaw = float(rng.choice([-1, 1]) * rng.uniform(12, 72))
        pitch, roll = rng.normal(0, 15), rng.normal(0, 20)
    else:
        yaw, pitch, roll = rng.normal(0, 16), rng.normal(0, 7), rng.normal(0, 7)
        yaw = float(np.clip(yaw, -42, 42))
    return Pose(yaw, float(np.clip(pitch, -30, 30)), float(np.clip(roll, -45, 45)),
                float(rng.normal(0, 0.02)), float(rng.normal(0.09, 0.02)),
                float(rng.uniform(0.45, 0.54)), float(rng.uniform(55, 140)))


def sample_light(rng, hard=False):
    """A random Light; hard: from aside, below or behind, coloured, with hard shadows."""
    if hard:
        direction = np.array([rng.normal(0, 1.0), rng.normal(0.35, 0.6), rng.uniform(0.1, 0.8)])
        colour = np.clip(1 + rng.normal(0, 0.14, 3), 0.6, 1.3)
        return Light(tuple(map(float, direction)), tuple(map(float, colour)),
                     float(rng.uniform(0.6, 1.35)), float(rng.uniform(0.12, 0.34)),
                     tuple(map(float, np.clip(1 + rng.normal(0, 0.12, 3), 0.6, 1.3))),
                     float(rng.uniform(0, 0.5)), float(rng.uniform(0.6, 1.0)),
                     float(rng.uniform(0.4, 1.0)))
    direction = np.array([rng.normal(0, 0.45), rng.uniform(0.2, 0.7), 0.85])
    warm = rng.normal(0, 0.05)
    return Light(tuple(map(float, direction)), (1.0 + warm, 0.97, 0.94 - warm),
                 float(rng.uniform(0.62, 0.90)), float(rng.uniform(0.30, 0.50)),
                 (0.93 - warm / 2, 0.96, 1.0), float(rng.uniform(0.0, 0.3)),
                 float(rng.uniform(0.35, 0.7)), float(rng.uniform(0.0, 0.5)))


def sample_scene(rng, hard=False):
    """A random Scene; hard: two of three faces are partly hidden."""
    hidden = rng.random() < (0.62 if hard else 0.04)
    kinds = sorted(OCCLUDERS)
    weights = np.array([{"hand": 3.0}.get(k, 1.0) for k in kinds])
    glasses = str(rng.choice(["", "thin", "thick", "sun"],
                             p=[0.62, 0.10, 0.10, 0.18] if hard else [0.80, 0.10, 0.08, 0.02]))
    metal = rng.uniform(0.03, 0.2, 3) if rng.random() < 0.7 else rng.uniform(0.1, 0.6, 3)
    return Scene(
        seed=int(rng.integers(2**31)), background=str(rng.choice(sorted(BACKGROUNDS))),
        colour=tuple(map(float, rng.uniform(0.25, 0.85) * np.clip(1 + rng.normal(0, 0.13, 3),
                                                                  0.6, 1.3))),
        focus=float(rng.uniform(0.05, 0.6) if hard else rng.uniform(0.2, 1)),
        clothes=tuple(map(float, np.clip(rng.uniform(0.1, 0.9) + rng.normal(0, 0.15, 3), 0.04,
                                         0.95))),
        collar=str(rng.choice(["round", "v", "open", "high"])), glasses=glasses,
        glasses_colour=tuple(map(float, metal)),
        occluder=str(rng.choice(kinds, p=weights / weights.sum())) if hidden else "",
        occluder_seed=int(rng.integers(2**31)))


def sample_camera(rng, hard=False):
    """A random Camera; hard: more blur, motion, noise, and coarser JPEG."""
    tint = np.clip(1 + rng.normal(0, 0.05 if hard else 0.025, 3), 0.8, 1.2)
    moving = hard and rng.random() < 0.3
    return Camera(
        blur=float(rng.uniform(0.2, 2.2) if hard else rng.uniform(0.0, 0.8)),
        motion=float(rng.uniform(2, 8)) if moving else 0.0,
        motion_angle=float(rng.uniform(0, 180)),
        noise=float(rng.uniform(0.01, 0.06) if hard else rng.uniform(0.003, 0.02)),
        exposure=float(rng.uniform(0.75, 1.3) if hard else rng.uniform(0.92, 1.12)),
        contrast=float(rng.uniform(0.75, 1.25) if hard else rng.uniform(0.92, 1.1)),
        tint=tuple(map(float, tint)),
        saturation=float(rng.choice([0.0, 0.7, 1.0, 1.1], p=[0.08, 0.2, 0.52, 0.2])),
        jpeg=int(rng.integers(30, 85) if hard else rng.integers(75, 96)),
        seed=int(rng.integers(2**31)))
