"""The other parts of a person: ears, neck, shoulders. Grids in head coordinates, cm."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from study.standin.head import gauss, smoothstep
from study.standin.skin import noise


@dataclass
class Part:
    """A painted grid.

    Attributes:
        vertices: (R, C, 3) cm, rows downwards and columns to the right as seen from outside.
        colour: (h, w, 3) float32 sRGB fractions, stretched over the grid.
        gloss: number or (h, w).
        closed: True where the back side is never seen.
        alpha: (h, w) bool, False in holes; or None.
        shine: exponent of the highlight.
        casts: whether it throws a shadow.
    """

    vertices: np.ndarray
    colour: np.ndarray
    gloss: float | np.ndarray = 0.05
    closed: bool = True
    alpha: np.ndarray | None = None
    shine: float = 22.0
    casts: bool = True

    def moved(self, offset):
        """The part, moved by (3,) cm."""
        return replace(self, vertices=self.vertices + offset)


def plain(colour, height=24, width=24):
    """A texture of one colour."""
    return np.broadcast_to(np.asarray(colour, np.float32), (height, width, 3)).copy()


def tube(axis, radii, columns=14, flat=1.0):
    """A closed tube (n, columns, 3) round an axis (n, 3) with radii (n,); flat squeezes z."""
    axis, radii = np.asarray(axis, float), np.asarray(radii, float)
    along = np.gradient(axis, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, [0.0, 0.0, 1.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
    front = np.cross(side, along)
    angle = np.linspace(-np.pi, np.pi, columns)[None, :, None]
    ring = side[:, None] * np.sin(angle) * -1 + flat * front[:, None] * np.cos(angle)
    return axis[:, None] + radii[:, None, None] * ring


def ball(centre, radii, rows=12, columns=18):
    """An ellipsoid (rows, columns, 3)."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    angle = np.linspace(-np.pi, np.pi, columns)[None]
    out = np.stack([np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle,
                    np.sin(polar) * np.cos(angle)], -1)
    return np.asarray(centre) + out * np.asarray(radii)


def ear(identity, side, half_width, colour):
    """An ear, side -1 (image left) or 1; half_width: the head's at the ear, cm."""
    k = np.linspace(0.04, 1, 10)[:, None]
    angle = np.linspace(-np.pi, np.pi, 25)[None]
    across, up = np.sin(angle), np.cos(angle)
    outline = 1 + 0.12 * up - 0.10 * (up < -0.2) * across
    a = 1.62 * k * across * outline * (1 - 0.22 * smoothstep(0, -1, up))
    b = 3.1 * k * up
    out = 0.55 * np.exp(-0.5 * ((k - 0.86) / 0.13) ** 2) - 0.40 * gauss(a, b, -0.15, -0.2, 0.6, 1.0)
    out += 0.25 * gauss(a, b, 0.15, 0.9, 0.4, 0.9) - 0.3 * (k > 0.97)
    scale = 0.95 * identity.ears
    a, b, out = a * scale, b * scale, out * scale
    flare = np.radians(32)
    x = half_width + 0.10 + 0.95 * np.sin(flare) + a * np.sin(flare) + out * np.cos(flare)
    z = -0.9 - a * np.cos(flare) + out * np.sin(flare) - 0.12 * b
    y = -1.7 + b
    vertices = np.stack([side * x, y, z], -1)
    if side > 0:
        vertices = vertices[:, ::-1]
    shade = 1 - 0.45 * gauss(a, b, -0.2, -0.3, 0.55, 0.9) - 0.15 * gauss(a, b, 0.35, 1.2, 0.3, 0.9)
    shade = cv2.resize(shade.astype(np.float32), (64, 48))
    if side > 0:
        shade = shade[:, ::-1]
    red = np.array(colour) * [1.0, 0.88, 0.86]
    painted = (shade[..., None] ** [0.8, 1.1, 1.15] * red).astype(np.float32)
    return Part(vertices, painted, closed=False, shine=16)


def neck(identity, colour, rng):
    """The neck, from inside the head down to the shoulders."""
    v = np.linspace(0, 1, 16)[:, None]
    angle = np.linspace(-np.pi, np.pi, 37)[None]
    y = -4.0 - 14.0 * v
    radius = identity.neck * (5.1 + 0.9 * smoothstep(0.55, 1.0, v) * 2)
    x = radius * np.sin(angle)
    z = -1.3 - 1.6 * v + (5.0 + 0.3 * v) * identity.neck * np.cos(angle)
    cord = np.exp(-0.5 * ((np.abs(angle) - 0.75 + 0.55 * v) / 0.16) ** 2)
    z = z + 0.35 * cord * smoothstep(0.2, 0.6, v)
    z = z + 0.35 * identity.jaw * np.exp(-0.5 * (angle / 0.14) ** 2 - 0.5 * ((v - 0.55) / 0.1) ** 2)
    painted = plain(np.array(colour) * [0.97, 0.93, 0.92], 64, 96)
    painted *= 1 + 0.03 * noise(rng, 64, 96, 12)[..., None]
    return Part(np.stack(np.broadcast_arrays(x, y, z), -1), painted)


def shoulders(identity, scene, skin, rng):
    """Shoulders and chest in clothes."""
    ring = np.array([[5.7, 5.2, -13.4], [6.6, 5.7, -14.3], [8.6, 6.6, -15.3], [12.5, 8.0, -16.6],
                     [16.8, 8.6, -18.0], [19.6, 8.8, -20.0], [21.0, 9.4, -23.5],
                     [21.6, 10.0, -30.0], [21.8, 10.2, -44.0]])
    ring[:, :2] *= 0.86 + 0.14 * identity.neck * identity.width
    fine = np.stack([np.interp(np.linspace(0, 8, 25), np.arange(9), c) for c in ring.T], -1)
    angle = np.linspace(-np.pi, np.pi, 49)
    x = fine[:, :1] * np.sin(angle)
    z = -2.8 + fine[:, 1:2] * np.cos(angle)
    y = fine[:, 2:] - 2.6 * np.clip(np.cos(angle), 0, 1) ** 2 * np.exp(
        -0.5 * ((fine[:, :1] - 8) / 6) ** 2)
    painted = _cloth(scene, rng)
    vertices = np.stack([x, y, z], -1)
    depth = {"round": 3, "v": 8, "open": 6, "high": 0}[scene.collar]
    row = np.linspace(0, 24, 96)[:, None]
    around = np.abs(np.linspace(-np.pi, np.pi, 160))[None]
    edge = depth * np.exp(-0.5 * (around / (0.75 if scene.collar != "v" else 0.42)) ** 2)
    bare = (row < edge + (0.6 if depth else 0))[..., None]
    hem = (np.abs(row - edge - 1.0) < 0.45)[..., None]
    painted = np.where(hem, painted * 0.78, painted)
    painted = np.where(bare, np.array(skin, np.float32) * [0.98, 0.94, 0.93], painted)
    return Part(vertices, cv2.GaussianBlur(painted.astype(np.float32), (0, 0), 0.7), 0.02)


def _cloth(scene, rng):
    painted = plain(scene.clothes, 96, 160)
    weave = 0.05 * noise(rng, 96, 160, 60) + 0.07 * noise(rng, 96, 160, 5)
    painted *= 1 + weave[..., None]
    pattern = rng.integers(0, 5)
    other = np.clip(rng.uniform(0.1, 0.9, 3), 0, 1).astype(np.float32)
    if pattern == 0:
        stripes = (np.arange(96) // rng.integers(4, 9)) % 2 == 0
        painted[stripes] = painted[stripes] * 0.5 + other * 0.5
    if pattern == 1:
        painted[:, (np.arange(160) // 6) % 2 == 0] *= 0.82
        painted[(np.arange(96) // 6) % 2 == 0] *= 0.82
    folds = np.sin(np.linspace(0, 40, 160) + 4 * noise(rng, 96, 160, 4))
    return np.clip(painted * (1 + 0.05 * folds[..., None]), 0, 1)
