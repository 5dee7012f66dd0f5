"""Hair: a shell round the skull, with holes where there is none, painted in strands."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from study.standin.head import smoothstep
from study.standin.parts import Part, ball, plain
from study.standin.skin import noise

SIZE, AROUND = 256, 512  # px of the shell's texture, down and around
ROWS, COLUMNS = 46, 81

# Hairline seen from the front round to the back: |azimuth| in degrees, y in cm
LINE = np.array([[0, 5.9], [20, 6.1], [38, 5.7], [50, 4.3], [59, 2.3], [67, 0.4], [74, -1.3],
                 [80, -1.1], [86, 1.2], [104, 1.4], [114, -3.0], [180, -5.2]])


@dataclass(frozen=True)
class Style:
    """How a style differs: thickness and lift on top (cm), length below the eyes (cm), the
    azimuth of the front edge of long hair (degrees), a fringe's y, and its texture."""

    thick: float = 0.7
    top: float = 0.6
    bottom: float = -5.2
    edge: float = 0.0
    fringe: float = 0.0
    sweep: float = 0.0
    ragged: float = 0.45
    curl: float = 0.0
    bun: bool = False
    cloth: bool = False


STYLES = {
    "bald": None,
    "buzz": Style(thick=0.10, top=0.05, ragged=0.3),
    "short": Style(thick=0.55, top=0.9),
    "crop": Style(thick=0.35, top=1.3, fringe=5.2, ragged=0.8),
    "swept": Style(thick=0.6, top=1.5, sweep=1.0),
    "fringe": Style(thick=0.9, top=0.8, fringe=2.9, ragged=0.7, bottom=-6.0),
    "bob": Style(thick=1.1, top=0.7, bottom=-10.5, edge=66, ragged=0.6),
    "bob_fringe": Style(thick=1.1, top=0.7, bottom=-10.0, edge=64, fringe=2.7, ragged=0.6),
    "long": Style(thick=1.0, top=0.6, bottom=-21.0, edge=68, ragged=1.0),
    "long_swept": Style(thick=1.1, top=0.9, bottom=-20.0, edge=62, sweep=1.0, ragged=1.0),
    "tied": Style(thick=0.25, top=0.25, ragged=0.3, bun=True),
    "curly": Style(thick=1.7, top=1.6, ragged=1.0, curl=1.0, bottom=-5.0),
    "curly_long": Style(thick=2.2, top=1.5, bottom=-13.0, edge=68, ragged=1.2, curl=1.0),
    "afro": Style(thick=3.2, top=3.0, ragged=0.8, curl=1.6, bottom=-4.0),
    "beanie": Style(thick=0.5, top=0.9, fringe=4.4, cloth=True, ragged=0.0),
    "scarf": Style(thick=0.45, top=0.5, bottom=-20.0, edge=60, cloth=True, ragged=0.0),
}


def grow(identity, surface, rng):
    """The hair's parts, a list of Part in head coordinates."""
    style = STYLES[identity.hair.style]
    if style is None:
        return []
    y, angle, rows = _lattice(surface, style)
    line = _hairline(identity.hair, style, angle)
    vertices = _shell(identity, style, y, angle, rows, line, rng)
    alpha, strands = _strands(identity, style, y, angle, line, rng)
    colour = _colour(identity, style, strands, rng)
    gloss = 0.02 if style.cloth else np.clip(0.035 + 0.10 * strands, 0, 1).astype(np.float32)
    gloss = gloss * (0.35 if style.curl else 1.0)
    out = [Part(vertices, colour, gloss, closed=False, alpha=alpha, shine=14.0)]
    if style.bun:
        knot = plain(identity.hair.colour, 40, 64)
        knot *= 1 + 0.35 * noise(rng, 40, 64, 4, 4.0)[..., None]
        top = rng.random() < 0.6
        centre = (0, 12.6, -4.5) if top else (0, 5.0, -10.5)
        out.append(Part(ball(centre, (2.6, 2.1, 2.4)), np.clip(knot, 0, 1), 0.15, shine=14.0))
    return out


def _lattice(surface, style):
    """y of the shell's rows, azimuth of its columns, and the head's sections at those rows."""
    sections = surface.sections
    index = np.arange(len(sections), dtype=float)
    last = np.interp(1.0, -sections[:, 0], index)  # y = -1
    upper = np.linspace(0, last, 30)
    head = np.stack([np.interp(upper, index, c) for c in sections.T], -1)
    hang = np.repeat(head[-1:], ROWS - 30, 0)
    hang[:, 0] = np.linspace(-1, style.bottom - 2.5, ROWS - 29)[1:]
    if style.cloth and style.edge:  # a scarf is drawn together round the neck
        pull = smoothstep(-3, -11, hang[:, 0])
        hang[:, 1] *= 1 - 0.16 * pull
        hang[:, 2] += -1.0 * pull
    if not style.edge:  # short hair follows the head down to the nape
        down = np.interp(-hang[:, 0], -sections[:, 0], index)
        for i in range(1, 5):
            hang[:, i] = np.interp(down, index, sections[:, i])
        hang[:, 4] = np.minimum(hang[:, 4], -5.2)
    rows = np.concatenate([head, hang])
    return rows[:, 0], np.linspace(-np.pi, np.pi, COLUMNS), rows


def _hairline(hair, style, angle):
    """y of the hairline at each azimuth, cm, without its jags."""
    degrees = np.abs(np.degrees(angle))
    table = LINE.copy()
    table[:4, 1] += hair.hairline * np.array([0.6, 1.0, 1.6, 0.8])
    line = np.interp(degrees, table[:, 0], table[:, 1])
    if style.fringe:
        front = smoothstep(66, 46, degrees)
        line = np.minimum(line, front * style.fringe + (1 - front) * line)
        line -= 0.35 * np.cos(np.radians(degrees)) * (not style.cloth) * np.sin(3 * angle + 1)
    if style.sweep:
        side = np.degrees(angle) * np.sign(hair.parting or 1) * -1
        fall = smoothstep(-28, 52, side) * smoothstep(80, 60, side)
        line -= 2.6 * fall
    if style.cloth:
        line = np.where(degrees < 70, style.fringe or 5.6 - 4.5 * smoothstep(30, 70, degrees), 1.5)
        if style.fringe:
            line = np.full_like(line, style.fringe) - 2.6 * smoothstep(40, 180, degrees)
    return line


def _covered(style, y, angle, line):
    """Signed cm inside the hair, on the lattice of y (n,) and azimuth (m,): positive inside."""
    inside = y[:, None] - line[None]
    if style.cloth and style.edge:  # an oval opening
        oval = np.hypot(np.degrees(angle)[None] / 68, (y[:, None] + 3.0) / 9.3)
        return np.minimum((oval - 1) * 6, y[:, None] - style.bottom)
    if style.edge:
        degrees = np.abs(np.degrees(angle))[None]
        edge = style.edge + 7 * smoothstep(-1, -7, y)[:, None] - 26 * smoothstep(
            -11, -20, y)[:, None]
        curtain = np.minimum((degrees - edge) * 0.13, y[:, None] - style.bottom)
        inside = np.maximum(inside, curtain)
    return inside


def _shell(identity, style, y, angle, rows, line, rng):
    hair = identity.hair
    inside = _covered(style, y, angle, line)
    rooted = smoothstep(-0.4, 2.4, inside)
    if style.fringe or style.sweep:
        front = np.abs(angle)[None] < 1.15
        rooted = np.where(front, np.maximum(rooted, 0.55), rooted)
    if style.cloth:
        rooted = rooted * 0 + 1
    top = smoothstep(2, 10, y)[:, None]
    thick = style.thick * (0.5 + 0.5 * hair.volume) + style.top * top
    lumps = cv2.resize(rng.standard_normal((9, 14)).astype(np.float32), (len(angle), len(y)),
                       interpolation=cv2.INTER_CUBIC)
    fine = noise(rng, len(y), len(angle), 22)
    lump = 1 + 0.16 * lumps + 0.13 * style.curl * fine
    lump = 0.5 * (lump + lump[:, :1]) if style.cloth else lump
    lump[:, -1] = lump[:, 0]
    crown = smoothstep(8.6, 10.2, y)[:, None]  # where all columns meet
    lump += crown * (1 - lump)
    h = 0.10 + thick * rooted * lump
    parting = np.exp(-0.5 * ((angle[None] - 0.9 * hair.parting) / 0.10) ** 2) * smoothstep(6, 8, y)[
        :, None] * (1 - crown) * (np.cos(angle)[None] > 0)
    h *= 1 - 0.22 * parting * (style.curl == 0) * (not style.cloth)
    _, half, front, middle, back = (rows[:, i, None] for i in range(5))
    depth = np.where(np.abs(angle) < np.pi / 2, front - middle, middle - back)
    flare = 0.9 * smoothstep(-3, -14, y)[:, None] * (style.edge > 0) * (not style.cloth)
    wave = 0.35 * hair.wave * np.sin(y[:, None] * 1.1 + 2 * angle[None]) * smoothstep(
        3, -6, y)[:, None]
    out = h * (1 - 0.65 * smoothstep(5.5, 10.4, y)[:, None])
    x = (half + out + flare + wave) * np.sin(angle)
    z = middle + (depth + out) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.94
    up = y[:, None] + h * top
    return np.stack(np.broadcast_arrays(x, up, z), -1)


def _strands(identity, style, y, angle, line, rng):
    """Which texels are hair, (SIZE, AROUND) bool, and how light each is, about -1 … 1."""
    lattice = np.linspace(0, len(y) - 1, SIZE)
    rows = np.interp(lattice, np.arange(len(y)), y)
    around = np.linspace(-np.pi, np.pi, AROUND)
    inside = _covered(style, rows, around, np.interp(around, angle, line))
    if style.cloth:
        knit = np.sin(np.arange(AROUND) * 1.1)[None] * np.sin(np.arange(SIZE) * 0.9)[:, None]
        return inside > 0, knit.astype(np.float32)
    if style.curl:
        strands = 0.8 * noise(rng, SIZE, AROUND, 40) + 0.5 * noise(rng, SIZE, AROUND, 100)
        jag = noise(rng, SIZE, AROUND, 40) * 0.7
    else:
        strands = 0.6 * noise(rng, SIZE, AROUND, 4, 26.0) + 0.5 * noise(rng, SIZE, AROUND, 3, 12.0)
        jag = 0.5 * strands + 0.8 * noise(rng, SIZE, AROUND, 6, 40.0)
        sway = identity.hair.wave * 9 * np.sin(rows * 0.9)[:, None] + 9 * noise(
            rng, SIZE, AROUND, 5)
        sway = sway + identity.hair.parting * 2.2 * rows[:, None]  # combed away from the parting
        strands, jag = _comb(strands, sway), _comb(jag, sway)
    if identity.hair.style == "buzz":
        jag = rng.standard_normal((SIZE, AROUND)).astype(np.float32)
    return inside + style.ragged * jag > 0, strands


def _comb(strands, sway):
    """Shifts each texel (h, w) sideways by sway px."""
    height, width = strands.shape
    xs = np.arange(width, dtype=np.float32)[None] + sway.astype(np.float32)
    ys = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], xs.shape)
    return cv2.remap(strands, xs, np.ascontiguousarray(ys), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_WRAP)


def roots(identity, surface):
    """How much the hair's roots colour the head's skin, on its grid, 0 … 1; None without hair."""
    style = STYLES[identity.hair.style]
    if style is None or style.cloth:
        return None
    line = _hairline(identity.hair, replace(style, fringe=0.0), surface.angle)
    inside = surface.sections[:, 0, None] - line[None]
    return 0.92 * smoothstep(-0.55, 0.7, inside)


def _colour(identity, style, strands, rng):
    colour = plain(identity.hair.colour, SIZE, AROUND)
    if style.cloth:
        colour[:] = 0.45 * rng.uniform(0.08, 0.8, 3) + 0.55 * rng.uniform(0.08, 0.8)
        return np.clip(colour * (1 + 0.10 * strands[..., None]), 0, 1)
    tint = 1 + 0.12 * noise(rng, SIZE, AROUND, 4)
    colour *= (tint * np.clip(1 + 0.42 * strands, 0.35, 2))[..., None]
    return np.clip(colour, 0, 1)
