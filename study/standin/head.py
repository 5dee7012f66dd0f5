"""The head's shape: where its features are, its surface, and its 68 landmarks.

Head coordinates, cm: x to the image's right, y up, z to the camera; the origin lies between the
eyes, in the middle of the head. The surface is a stack of horizontal sections. Features push it
along z only, so that a feature's (x, y) on the face is where it is looked for.
"""

from dataclasses import dataclass

import numpy as np

ROWS, COLUMNS = 99, 121

# t, y, half width, front z, z of the widest point, back z: an average adult, crown to chin
SECTIONS = np.array([
    [0.000, 10.60, 0.00, -1.5, -1.5, -1.5],
    [0.012, 10.45, 1.90, 0.6, -1.4, -3.6],
    [0.040, 9.85, 3.55, 3.2, -1.3, -5.8],
    [0.080, 8.75, 4.80, 5.5, -1.1, -7.6],
    [0.130, 7.20, 5.75, 7.1, -0.9, -8.8],
    [0.200, 5.00, 6.50, 8.45, -0.6, -9.4],
    [0.320, 2.00, 6.98, 9.20, -0.2, -9.4],
    [0.440, 0.00, 7.06, 9.00, 0.1, -8.8],
    [0.560, -2.40, 6.84, 8.90, 0.4, -7.7],
    [0.690, -4.60, 6.60, 8.85, 0.8, -6.2],
    [0.810, -6.75, 5.95, 8.65, 1.6, -3.6],
    [0.890, -8.50, 5.02, 8.30, 2.8, -0.9],
    [0.945, -9.95, 3.85, 8.15, 4.3, 1.6],
    [0.978, -10.80, 2.60, 7.80, 5.4, 3.4],
    [0.993, -11.15, 1.40, 7.30, 6.0, 4.8],
    [1.000, -11.25, 0.00, 6.50, 6.5, 6.5],
])
CONTOUR_ANGLE = np.radians(86.0)
CONTOUR_TOP = 0.3  # cm above the eyes


def gauss(x, y, at_x, at_y, sigma_x, sigma_y):
    """A Gaussian bump of height 1 at (at_x, at_y), all in the same unit."""
    return np.exp(-0.5 * (((x - at_x) / sigma_x) ** 2 + ((y - at_y) / sigma_y) ** 2))


def smoothstep(low, high, x):
    """0 at low, 1 at high, smooth between them; low may be the larger."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def hermite(knots, values, slopes, at):
    """Cubic pieces (m, k) at `at` (m,) through values (n, k) with slopes (n, k) at knots (n,)."""
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    width = (knots[i + 1] - knots[i])[:, None]
    t = (at - knots[i])[:, None] / width
    from_left = values[i] * (1 + 2 * t) + slopes[i] * width * t
    from_right = values[i + 1] * (3 - 2 * t) + slopes[i + 1] * width * (t - 1)
    return from_left * (1 - t) ** 2 + from_right * t**2


def smooth_curve(points, count=24):
    """A smooth curve (count, 2) through points (n, 2), n > 2, by chord length."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1) + 1e-6
    knots = np.concatenate([[0], np.cumsum(lengths)])
    secants = np.diff(points, axis=0) / lengths[:, None]
    a, b = lengths[:-1, None], lengths[1:, None]
    slopes = np.empty_like(points, float)
    slopes[1:-1] = (b * secants[:-1] + a * secants[1:]) / (a + b)
    slopes[0], slopes[-1] = 2 * secants[0] - slopes[1], 2 * secants[-1] - slopes[-2]
    return hermite(knots, points, slopes, np.linspace(0, knots[-1], count))


def monotone(knots, values, at):
    """Curves (m, k) through values (n, k) at knots (n,) that do not overshoot (Fritsch-Carlson)."""
    secants = np.diff(values, axis=0) / np.diff(knots)[:, None]
    a, b = secants[:-1], secants[1:]
    slopes = np.zeros_like(values)
    same = a * b > 0
    slopes[1:-1] = np.where(same, 2 * a * b / np.where(same, a + b, 1), 0)
    slopes[0], slopes[-1] = 1.5 * secants[0] - 0.5 * slopes[1], 1.5 * secants[-1] - 0.5 * slopes[-2]
    return hermite(knots, values, slopes, at)


@dataclass(frozen=True)
class Plan:
    """Where the features are on the face, seen from the front: head coordinates (x, y), cm.

    Attributes:
        points: (51, 2), the landmarks 17 … 67.
        nose, mouth, chin: y of the nose's base, of the closed mouth, of the chin.
        drop: cm by which the chin has sunk.
        open: (2,) how far the left and the right eye are open, fraction.
        eyes: (2, 2) centres of the eyeballs, left and right.
    """

    points: np.ndarray
    nose: float
    mouth: float
    chin: float
    drop: float
    open: np.ndarray
    eyes: np.ndarray

    def curve(self, indices, count=24):
        """Smooth curve through landmarks given by their numbers in the 68-point scheme."""
        return smooth_curve(self.points[np.asarray(indices) - 17], count)

    def eye_outline(self, side):
        """Upper and lower lid (24, 2), left to right, of the left (side 0) or right eye (1)."""
        first = 36 + 6 * side
        upper = self.curve([first, first + 1, first + 2, first + 3])
        return upper, self.curve([first, first + 5, first + 4, first + 3])

    def lip_outlines(self):
        """Curves (40, 2), left to right: outer top, inner top, inner bottom, outer bottom."""
        return (self.curve([48, 49, 50, 51, 52, 53, 54], 40), self.curve([60, 61, 62, 63, 64], 40),
                self.curve([60, 67, 66, 65, 64], 40), self.curve([48, 59, 58, 57, 56, 55, 54], 40))


def plan(identity, expression):
    """Places all features for an identity and its expression; returns a Plan."""
    nose = -4.6 * identity.nose_length
    mouth = nose - 2.15 * identity.philtrum
    drop = 2.5 * expression.mouth_open
    chin = mouth - 4.5 * identity.chin - drop
    eyes, open_ = zip(*(_eye(identity, expression, side) for side in (-1, 1)), strict=True)
    brows = [_brow(identity, expression, side) for side in (-1, 1)]
    points = np.concatenate([brows[0], brows[1][::-1], _nose(identity, expression, nose),
                             eyes[0], eyes[1][[3, 2, 1, 0, 5, 4]],  # 42 is the inner corner
                             _mouth(identity, expression, mouth, drop)])
    x = 3.24 + identity.eye_distance
    centres = np.array([[-x, 0.02], [x, 0.02]])
    return Plan(points, nose, mouth, chin, drop, np.array(open_), centres)


def _eye(identity, expression, side):
    """Six points: outer corner, upper lid outwards to inwards, inner corner, lower lid back."""
    blink = expression.blink_left if side < 0 else expression.blink_right
    squint = 0.28 * max(expression.smile, 0)
    wide = np.clip((1 - blink) * (1 - squint) + 0.3 * expression.wide_eyes, 0, 1.4)
    half = 1.56 * identity.eye_size
    top = 0.68 * identity.eye_height * identity.eye_size * wide
    top += 0.10 * expression.gaze_y * wide
    bottom = -0.48 * identity.eye_height * identity.eye_size * (0.35 + 0.65 * (1 - squint))
    top += blink * 0.92 * bottom  # the upper lid comes down to the lower one
    tilt = identity.eye_tilt
    across = np.array([half, 0.38 * half, -0.36 * half, -half, -0.36 * half, 0.38 * half])
    up = np.array([0.5 * tilt, top * 0.94, top, -0.5 * tilt - 0.06, bottom * 0.92, bottom])
    up[1:3] = np.maximum(up[1:3], up[[5, 4]] + 0.03)
    up = up + tilt * 0.5 * np.array([0, 0.38, -0.36, 0, -0.36, 0.38])
    x = 3.22 + identity.eye_distance
    return np.stack([side * (x + across), up], -1), wide


def _brow(identity, expression, side):
    """Five points from the outer end to the inner end."""
    x = np.array([5.15, 4.35, 3.3, 2.2, 1.2]) + identity.eye_distance * 0.9
    arch = np.array([-0.75, 0.05, 0.42, 0.25, -0.12]) * (0.6 + identity.brow_arch)
    tilt = identity.brow_tilt * (x - 3.2) * 0.25
    height = 1.95 + identity.brow_height + 0.15 * (identity.eye_size - 1)
    raised = expression.brow_raise * np.array([0.35, 0.55, 0.65, 0.65, 0.6])
    frown = expression.frown * np.array([0.0, -0.05, -0.2, -0.42, -0.55])
    x = x - expression.frown * np.array([0, 0.05, 0.1, 0.2, 0.3])
    return np.stack([side * x, height + arch + tilt + raised + frown], -1)


def _nose(identity, expression, base):
    tip = base + 1.05 + identity.nose_tip
    wide = identity.nose_width * (1 + 0.12 * max(expression.smile, 0))
    bridge = np.linspace(0.35, tip, 4)
    x = np.array([-1.32, -0.68, 0, 0.68, 1.32]) * wide
    y = base + np.array([0.22, -0.02, -0.16, -0.02, 0.22]) + 0.3 * identity.nose_tip
    return np.concatenate([np.stack([np.zeros(4), bridge], -1), np.stack([x, y], -1)])


def _mouth(identity, expression, y, drop):
    """The 20 points of the mouth: outer lip from its left corner, inner lip from its left."""
    e = expression
    smile, frowning = max(e.smile, 0), max(-e.smile, 0)
    half = 2.5 * identity.mouth_width * (1 + 0.24 * smile - 0.32 * e.pucker - 0.10 * e.mouth_open)
    gap_top, gap_bottom = 0.03 + 0.28 * e.teeth, 0.03 + 0.25 * e.teeth + 0.93 * drop
    upper = 0.78 * identity.upper_lip * (1 - 0.25 * smile + 0.25 * e.pucker)
    lower = 0.98 * identity.lower_lip * (1 - 0.18 * smile + 0.2 * e.pucker - 0.12 * e.mouth_open)
    corner = 0.55 * smile - 0.4 * frowning - 0.42 * drop
    lift = 0.12 * smile
    outer_x = np.array([-1, -0.58, -0.20, 0, 0.20, 0.58, 1, 0.6, 0.25, 0, -0.25, -0.6]) * half
    top = np.array([0.62, 1.0, 0.90, 1.0, 0.62]) * upper + gap_top
    bottom = -np.array([0.72, 0.98, 1.0, 0.98, 0.72]) * lower - gap_bottom * np.array(
        [0.84, 1, 1, 1, 0.84])
    outer_y = np.concatenate([[corner], top + lift, [corner], bottom + 0.5 * lift])
    inner_x = np.array([-0.86, -0.40, 0, 0.40, 0.86, 0.42, 0, -0.42]) * half
    inner_corner = corner * 0.86 - 0.02
    inner_top = gap_top * np.array([0.85, 1, 0.85]) + lift * 0.9 + [0.02, -0.05, 0.02]
    inner_bottom = -gap_bottom * np.array([0.9, 1, 0.9]) + lift * 0.6 - [0, 0.06, 0]
    inner_y = np.concatenate([[inner_corner], inner_top, [inner_corner], inner_bottom])
    x, height = np.concatenate([outer_x, inner_x]), np.concatenate([outer_y, inner_y])
    height[[1, 5, 7, 11]] += corner * 0.42  # lips follow their corners
    height[[2, 4, 8, 10]] += corner * 0.08
    height[[13, 15, 17, 19]] += corner * 0.16
    if drop > 0:
        height[[1, 5]] += 0.22 * drop
        height[[13, 15]] += 0.03 * drop
    height += e.skew * 0.14 * x / 2.5 * (1 + smile)
    return np.stack([x + e.skew * 0.15, y + height], -1)


@dataclass(frozen=True)
class Surface:
    """The head's grid, (ROWS, COLUMNS), and how to find a place on it.

    Attributes:
        vertices: (ROWS, COLUMNS, 3), head coordinates, cm.
        sections: (ROWS, 5): y, half width, front, middle and back z of each row, cm.
        angle: (COLUMNS,) azimuth of each column, radians, 0 in front, increasing with x.
    """

    vertices: np.ndarray
    sections: np.ndarray
    angle: np.ndarray

    def locate(self, points):
        """Grid coordinates (column, row) of points (n, 2) on the front of the face."""
        row = np.interp(-points[:, 1], -self.sections[:, 0], np.arange(len(self.sections)))
        half = np.interp(row, np.arange(len(self.sections)), self.sections[:, 1])
        angle = np.arcsin(np.clip(points[:, 0] / np.maximum(half, 1e-6), -1, 1))
        return self.column(angle), row

    def column(self, angle):
        """Grid coordinate of an azimuth."""
        return np.interp(angle, self.angle, np.arange(len(self.angle)))


def azimuth(columns=COLUMNS):
    """Azimuths of the columns, radians: dense in front, -π … π, exactly symmetric."""
    s = np.linspace(-1, 1, columns)
    angle = np.pi * (0.42 * s + 0.58 * s**3)
    return (angle - angle[::-1]) / 2


def sections(identity, plan_, rows=ROWS):
    """Sections of the head (rows, 5) from crown to chin: y, half width, front, middle, back z."""
    table = SECTIONS.copy()
    t, y = table[:, 0], table[:, 1]
    known = np.array([12.0, 2.0, 0.0, -4.6, -6.75, -11.25])
    wanted = np.array([2.0 + 10.0 * identity.forehead, 2.0, 0, plan_.nose, plan_.mouth, plan_.chin])
    new_y = np.interp(-y, -known, wanted)
    jaw = np.exp(-0.5 * ((y + 7.4) / 2.2) ** 2)
    full = np.exp(-0.5 * ((y + 5.2) / 2.5) ** 2)
    table[:, 2] *= identity.width * (1 + 0.075 * identity.jaw * jaw
                                     + 0.11 * (identity.fullness - 0.3) * full)
    low = smoothstep(-7.5, -11.0, y)
    table[:, 2] *= 1 + 0.06 * identity.jaw * low
    table[:, 3:] += (low * (identity.chin_forward - 0.30 * plan_.drop))[:, None]
    table[:, 1] = new_y
    return monotone(t, table[:, 1:], np.linspace(0, 1, rows))


def surface(identity, expression, plan_):
    """The head's Surface for an identity, its expression and its plan."""
    rows = sections(identity, plan_)
    angle = azimuth()
    y, half, front, middle, back = (rows[:, i, None] for i in range(5))
    x = half * np.sin(angle)
    depth = np.where(np.abs(angle) < np.pi / 2, front - middle, middle - back)
    z = middle + depth * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.94
    y = np.broadcast_to(y, x.shape)
    facing = np.clip(np.cos(angle) * 3.5, 0, 1)
    columns = np.flatnonzero(facing > 0)
    face = slice(int(0.1 * ROWS), ROWS), slice(columns[0], columns[-1] + 1)
    z[face] += facing[face[1]] * relief(x[face], y[face], plan_, identity, expression)
    return Surface(np.stack([x, y, z], -1), rows, angle)


def relief(x, y, plan_, identity, expression):
    """How far the features push the surface at (x, y) towards the camera, cm."""
    ax = np.abs(x)
    out = _bones(ax, y, plan_, identity, expression)
    out += _nose_relief(ax, y, plan_, identity)
    out += _eye_relief(x, y, plan_, identity)
    return out + _lip_relief(x, y, plan_, identity, expression)


def _bones(ax, y, plan_, identity, expression):
    smile = max(expression.smile, 0)
    n, m, c = plan_.nose, plan_.mouth, plan_.chin
    lower = m - 0.8 * plan_.drop
    out = 0.42 * identity.brow_ridge * gauss(ax, y, 2.7, 1.75, 1.9, 0.55)
    out += 0.22 * identity.brow_ridge * gauss(ax, y, 0, 1.5, 1.0, 0.7)
    out -= 0.80 * gauss(ax, y, 3.0 + identity.eye_distance, 0.35, 1.45, 0.95)
    out -= 0.42 * gauss(ax, y, 0, 0.45, 0.9, 0.85)
    out -= 0.18 * gauss(ax, y, 2.6, -1.2, 1.1, 0.6)
    out += (0.35 + 0.3 * identity.cheekbones) * gauss(ax, y, 4.5, -2.3, 1.5, 1.1)
    out += 0.45 * smile * gauss(ax, y, 3.7, n + 1.1, 1.1, 1.0)
    out += (identity.fullness - 0.45) * 0.9 * gauss(ax, y, 4.4, m + 0.4, 1.4, 1.8)
    out += 0.55 * gauss(ax, y, 0, m + 0.2, 2.5, 1.7)
    out -= 0.20 * smile * gauss(ax, y, 3.1, m + 0.3, 0.5, 0.9)
    out -= 0.35 * gauss(ax, y, 0, lower - 1.85, 1.8, 0.45)
    out += 0.55 * gauss(ax, y, 0, c + 1.35, 1.35, 0.85)
    fold = 1.75 + (n + 0.6 - y) * 0.42
    fold_at = np.exp(-0.5 * ((ax - fold) / 0.28) ** 2) * smoothstep(n + 0.9, n - 0.2, y)
    out -= (0.05 + 0.16 * smile + 0.10 * identity.age) * fold_at * smoothstep(m - 0.8, m + 0.4, y)
    return out


def _nose_relief(ax, y, plan_, identity):
    base, tip = plan_.nose, plan_.points[30 - 17, 1]
    high = 1.95 * identity.nose_height
    along = np.clip((0.9 - y) / (0.9 - tip), 0, 1)
    ridge = high * (0.10 + 0.90 * along**1.15)
    ridge += 0.22 * identity.nose_bump * np.exp(-0.5 * ((along - 0.42) / 0.16) ** 2)
    ridge *= smoothstep(1.5, 0.2, y) * smoothstep(base - 0.30, base + 0.42, y)
    wide = (0.62 + 0.34 * along**2) * (0.6 + 0.4 * identity.nose_width)
    out = ridge * np.exp(-((ax / wide) ** 2) * 0.72)
    out += 0.26 * gauss(ax, y, 0, tip + 0.02, 0.55, 0.5)
    w = identity.nose_width
    out += 0.98 * np.exp(-0.5 * ((ax - 1.06 * w) / (0.40 * w)) ** 2
                         - 0.5 * ((y - base - 0.52) / 0.44) ** 4)
    out -= 0.20 * gauss(ax, y, 1.95 * w, base + 0.5, 0.3, 0.5)
    out -= 0.35 * gauss(ax, y, 0.6 * w, base + 0.12, 0.24, 0.18)
    out -= 0.10 * gauss(ax, y, 0, base - 0.75, 0.22, 0.45)
    return out + 0.07 * gauss(ax, y, 0.42, base - 0.8, 0.2, 0.5)


def _eye_relief(x, y, plan_, identity):
    out = np.zeros_like(x)
    for side in (0, 1):
        cx, cy = plan_.eyes[side]
        ball = ((x - cx) / (1.25 * identity.eye_size)) ** 2 + ((y - cy) / 1.0) ** 2
        out += 0.62 * np.exp(-0.5 * ball**1.3)
        upper, lower = plan_.eye_outline(side)
        top = np.interp(x, upper[:, 0], upper[:, 1])
        bottom = np.interp(x, lower[:, 0], lower[:, 1])
        within = smoothstep(-0.06, 0.10, top - y) * smoothstep(-0.06, 0.10, y - bottom)
        within *= smoothstep(upper[0, 0], upper[0, 0] + 0.3, x)
        within *= smoothstep(upper[-1, 0], upper[-1, 0] - 0.3, x)
        out -= 0.13 * within
        crease = top + 0.34 + 0.1 * plan_.open[side]
        near = np.exp(-0.5 * ((x - cx) / 1.1) ** 2)
        out -= 0.12 * identity.eye_fold * near * np.exp(-0.5 * ((y - crease) / 0.13) ** 2)
    return out


def _lip_relief(x, y, plan_, identity, expression):
    outer_top, inner_top, inner_bottom, outer_bottom = plan_.lip_outlines()
    yo, yi, yj, yp = (np.interp(x, c[:, 0], c[:, 1]) for c in
                      (outer_top, inner_top, inner_bottom, outer_bottom))
    left, right = outer_top[0, 0], outer_top[-1, 0]
    across = np.clip((x - (left + right) / 2) / ((right - left) / 2), -1, 1)
    fade = np.sqrt(1 - across**2) * (np.abs(across) < 1)
    upper = np.clip((y - yi) / np.maximum(yo - yi, 1e-3), 0, 1)
    lower = np.clip((yj - y) / np.maximum(yj - yp, 1e-3), 0, 1)
    out = 0.34 * identity.upper_lip * fade * np.sin(np.pi * upper**0.8) * (y > yi)
    out += 0.46 * identity.lower_lip * fade * np.sin(np.pi * lower**0.85) * (y < yj)
    out += 0.35 * expression.pucker * fade * np.exp(-0.5 * ((y - plan_.mouth) / 1.1) ** 2)
    inside = smoothstep(-0.05, 0.25, yi - y) * smoothstep(-0.05, 0.25, y - yj) * fade
    return out - 0.5 * np.minimum(1, (yi - yj)) * inside


def contour(surface_):
    """Grid paths of the 17 contour landmarks: azimuths and rows, each (17, 40).

    Each path of 0-7 and 9-16 runs along one horizontal section, from the cheek's front (first) to
    the jaw's widest place (last), where the landmark sits when that can be seen. The path of 8
    runs down the middle of the chin and under it.
    """
    sections_ = surface_.sections
    index = np.arange(len(sections_), dtype=float)
    start = np.interp(-CONTOUR_TOP, -sections_[:, 0], index)
    dense = np.linspace(start, len(sections_) - 1.8, 200)
    x, y = np.interp(dense, index, sections_[:, 1]), np.interp(dense, index, sections_[:, 0])
    x[-1] = 0
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.interp(np.linspace(0, length[-1], 9), length, dense)
    row = np.concatenate([at, at[7::-1]])
    half = np.interp(row, index, sections_[:, 1])
    first = np.arcsin(np.clip(2.7 / np.maximum(half, 1e-3), 0, 0.55))
    steps = np.linspace(0, 1, 40)
    path = first[:, None] + steps * (CONTOUR_ANGLE - first)[:, None]
    path *= np.sign(np.arange(17) - 8.0)[:, None]
    rows = np.repeat(row[:, None], 40, 1)
    rows[8] = np.linspace(np.interp(-y[-1] - 1.2, -sections_[:, 0], index), at[-1], 40)
    return path, rows
