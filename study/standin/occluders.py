"""Things in front of a face: hands, phones, cups, microphones, boxes; and glasses.

Parts are built in camera coordinates with the head's origin (x right, y up, z to the camera, cm)
around the place on the face that they hide.
"""

import cv2
import numpy as np

from study.standin.parts import Part, ball, plain, tube
from study.standin.skin import fixed, noise


def occlude(scene, face, skin):
    """The occluder's parts; face: (68, 3) the landmarks in camera coordinates, cm."""
    if not scene.occluder:
        return []
    rng = np.random.default_rng([scene.occluder_seed, 4])
    return OCCLUDERS[scene.occluder](face, skin, rng)


def _target(face, rng):
    """A place that is worth hiding: mouth, chin, cheek, eye."""
    groups = (range(48, 60), range(6, 11), range(2, 6), range(11, 15), range(36, 42),
              range(42, 48))
    return face[list(groups[rng.integers(0, len(groups))])].mean(0)


def _finger(base, direction, length, radius, bend):
    s = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 18))  # dense at the ends, which are round
    axis = base + s[:, None] * direction * length + (s**2)[:, None] * bend
    knuckle = 1 + 0.08 * np.cos(s * 2 * np.pi * 2.0)
    tip = np.sqrt(np.clip(1 - np.clip((s - 0.86) / 0.14, 0, 1) ** 2, 0, 1))
    tip *= np.sqrt(np.clip(1 - np.clip((0.10 - s) / 0.10, 0, 1) ** 2, 0, 1))
    return tube(axis, radius * knuckle * (1 - 0.22 * s) * tip + 0.01)


def _hand(face, skin, rng):
    """A hand at the chin, the mouth, a cheek or over an eye, fingers up or across."""
    at = _target(face, rng)
    at = at + [0, 0, 1.6]
    outward = at[:2] - face[27:36, :2].mean(0)
    outward = outward / max(np.linalg.norm(outward), 1e-6)
    turn = rng.normal(0, 0.35)
    c, s = np.cos(turn), np.sin(turn)
    palm_way = np.array([[c, -s], [s, c]]) @ np.where(np.abs(outward) > 0.2, outward, [0, -1])
    palm_way[1] = min(palm_way[1], 0.2) - 0.5
    palm_way /= np.linalg.norm(palm_way)
    fingers = np.array([*-palm_way, 0.0])
    side = np.array([fingers[1], -fingers[0], 0])
    tone = np.array(skin) * rng.uniform(0.85, 1.02)
    colour = plain(tone, 32, 32) * (1 + 0.05 * noise(rng, 32, 32, 8)[..., None])
    colour[:6] *= [1.0, 0.90, 0.88]
    parts = []
    curl = rng.uniform(-1.0, 0.2)
    for i, length in enumerate((6.2, 7.2, 6.9, 5.4)):
        base = at + side * (i - 1.5) * 1.75 - fingers * (3.4 + 0.25 * abs(i - 1.2)) + [0, 0, 0.5]
        way = fingers + side * 0.05 * (i - 1.5)
        bend = np.array([0, 0, curl * 1.4])
        parts.append(_finger(base, way, length, 0.86, bend))
    thumb_side = 1 if rng.random() < 0.5 else -1
    base = at - fingers * 6.5 + side * thumb_side * 3.2
    parts.append(_finger(base, fingers * 0.75 + side * thumb_side * 0.75, 5.4, 0.98,
                         np.array([0, 0, 0.3])))
    s = np.linspace(0, 1, 14)
    palm = at - fingers * 3.0 - s[:, None] * fingers * 8.6
    wide = 3.75 * np.sqrt(np.clip(1 - (2 * s - 0.85) ** 4 * 0.55, 0.1, 1)) * (1 - 0.18 * s)
    parts.append(tube(palm, wide, 22, flat=0.34))
    arm = at - fingers * 11.0 - np.linspace(0, 1, 8)[:, None] * (fingers * 22 + [0, 0, 5])
    parts.append(tube(arm, np.linspace(2.9, 4.2, 8), 18, flat=0.8))
    colours = [colour] * 6 + [plain(rng.uniform(0.1, 0.8, 3), 16, 16)
                              if rng.random() < 0.6 else colour]
    return [Part(v, c.astype(np.float32), 0.04) for v, c in zip(parts, colours, strict=True)]


def _panel(centre, size, turn, colour, lift):
    """A flat rectangle facing the camera, as a grid; turn in radians."""
    v, u = np.meshgrid(np.linspace(0.5, -0.5, 9), np.linspace(-0.5, 0.5, 9), indexing="ij")
    x, y = u * size[0], v * size[1]
    c, s = np.cos(turn), np.sin(turn)
    z = np.full_like(x, centre[2] + lift) + 0.1 * x
    return Part(np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y, z], -1), colour,
                0.05, closed=False)


def _box(face, _skin, rng):
    """A card, a book or a sign."""
    at = _target(face, rng) + [*rng.normal(0, 1.2, 2), 0]
    colour = plain(rng.uniform(0.05, 0.95, 3), 64, 64)
    other = rng.uniform(0.05, 0.95, 3)
    kind = rng.integers(0, 3)
    if kind == 0:
        for y in range(10, 58, 8):
            colour[y:y + 3, 8:int(rng.integers(30, 58))] = other
    if kind == 1:
        colour[12:52, 12:52] = other
    if kind == 2:
        colour *= 1 + 0.35 * noise(rng, 64, 64, 10)[..., None]
    size = rng.uniform(4.5, 9.5, 2)
    lift = 2.5 + max(0.0, face[:, 2].max() - at[2]) * 0.5
    return [_panel(at, size, rng.normal(0, 0.4), np.clip(colour, 0, 1), lift)]


def _phone(face, skin, rng):
    at = _target(face, rng) + [*rng.normal(0, 0.8, 2), 0]
    colour = plain(rng.uniform(0.03, 0.2, 3) if rng.random() < 0.7 else rng.uniform(0.5, 1, 3),
                   72, 36)
    colour[4:16, 3:14] *= 0.45
    colour[6:10, 5:9] = [0.12, 0.14, 0.2]
    lift = 2.2 + max(0.0, face[:, 2].max() - at[2]) * 0.4
    turn = rng.normal(0, 0.35)
    panel = _panel(at, (7.2, 14.5), turn, colour, lift)
    hand = []
    way = np.array([np.cos(turn), np.sin(turn), 0]) * (1 if rng.random() < 0.5 else -1)
    for i in range(3):
        base = at + way * 4.6 + [0, -1.5 - 1.9 * i, lift - 0.3]
        hand.append(Part(_finger(base, -way, 4.2, 0.85, np.array([0, 0, 0.9])),
                         plain(skin, 16, 16), 0.04))
    return [panel, *hand]


def _cup(face, skin, rng):
    at = face[48:60].mean(0) + [rng.normal(0, 0.6), -2.6, 4.2]
    s = np.linspace(0, 1, 10)[:, None]
    axis = at + [0, 3.2, 0] - s * np.array([0.4, 9.0, -1.0])
    colour = plain(rng.uniform(0.15, 0.95, 3), 32, 48)
    if rng.random() < 0.5:
        colour[12:18] = rng.uniform(0.1, 0.9, 3)
    out = [Part(tube(axis, np.linspace(3.6, 2.9, 10), 24), colour, 0.15)]
    for i in range(3):
        base = at + [4.2, -0.6 - 1.8 * i, 2.2]
        out.append(Part(_finger(base, np.array([-1.0, 0, 0.15]), 5.2, 0.85,
                                np.array([0, 0, 0.8])), plain(skin, 16, 16), 0.04))
    return out


def _microphone(face, _skin, rng):
    at = face[48:60].mean(0) + [rng.normal(0, 1.2), -1.9, 3.2]
    way = np.array([rng.normal(0, 0.35), -1.0, 0.25])
    head = plain([0.22, 0.22, 0.23], 40, 40)
    head *= 1 + 0.35 * (np.indices((40, 40)).sum(0) % 2)[..., None]
    s = np.linspace(0, 1, 8)[:, None]
    handle = tube(at + way * (1.6 + 14 * s), np.linspace(1.5, 1.2, 8))
    return [Part(ball(at, (2.5, 2.7, 2.5)), head.astype(np.float32), 0.12),
            Part(handle, plain([0.07, 0.07, 0.08]), 0.25)]


OCCLUDERS = {"hand": _hand, "box": _box, "phone": _phone, "cup": _cup, "microphone": _microphone}


def glasses(scene, plan_, surface):
    """Glasses as parts in head coordinates: two rims, bridge, two temples, and dark lenses.

    Clear lenses are not drawn: lens_outlines() and glint() give them their reflection.
    """
    depth = _glasses_depth(surface)
    radius = {"thin": 0.075, "thick": 0.19, "sun": 0.15}[scene.glasses]
    colour = plain(scene.glasses_colour, 8, 8)
    outlines = lens_outlines(plan_, depth)
    lines = [np.concatenate([o, o[:2]]) for o in outlines]
    lines.append(np.array([[-0.95, 0.15, depth], [-0.4, 0.5, depth + 0.25],
                           [0.4, 0.5, depth + 0.25], [0.95, 0.15, depth]]))
    half = surface.sections[:, 1].max() + 0.12
    for side in (-1, 1):
        hinge = outlines[(side + 1) // 2][:, 0] * side
        start = np.array([side * (hinge.max() - 0.05), 0.5, depth - 0.75])
        corner, ear = [side * half, 0.55, depth - 3.4], [side * (half + 0.1), 0.4, -0.6]
        s = np.linspace(0, 1, 5)[:, None]
        lines.append(np.concatenate([start + s * (corner - start),
                                     (corner + s * (np.array(ear) - corner))[1:]]))
    parts = [Part(tube(line, np.full(len(line), radius), 8), colour, 0.25, closed=False, shine=30.0)
             for line in lines]
    if scene.glasses == "sun":
        dark = plain([0.10, 0.09, 0.10], 24, 24) * np.linspace(0.5, 1.6, 24)[:, None, None]
        parts += [Part(_disc(o), dark.astype(np.float32), 0.5, closed=False, shine=40.0)
                  for o in outlines]
    return parts


def _glasses_depth(surface):
    y = surface.sections[:, 0]
    bridge = surface.vertices[:, surface.vertices.shape[1] // 2, 2]
    return np.interp(0.2, -y, bridge) + 0.65


def _disc(outline):
    """A bulging grid (5, n, 3) from an outline (n, 3) to its middle."""
    k = np.linspace(0.02, 1, 5)[:, None, None]
    out = outline.mean(0) + k * (outline - outline.mean(0))
    out[..., 2] += 0.25 * (1 - k[..., 0] ** 2)
    return out


def lens_outlines(plan_, depth):
    """Outlines of the two lenses, (40, 3) each, head coordinates."""
    out = []
    angle = np.linspace(0, 2 * np.pi, 40)
    c, s = np.cos(angle), np.sin(angle)
    for side in (0, 1):
        cx, cy = plan_.eyes[side] + [0.10 * (2 * side - 1), -0.25]
        x = cx + 2.4 * np.sign(c) * np.abs(c) ** 0.72
        y = cy + 1.8 * np.sign(s) * np.abs(s) ** 0.72 - 0.12 * np.abs(c)
        z = depth - 0.10 * np.maximum(np.abs(x) - 1.0, 0) ** 1.35
        out.append(np.stack([x, y, z], -1))
    return out


def glint(picture, mask, plan_, surface, place):
    """Adds a reflection to clear lenses, in place.

    Args:
        picture: (H, W, 3) uint8; mask: (H, W) bool, where something lies behind the lens.
        place: function from head coordinates (n, 3) to px (n, 2) of the picture.
    """
    for outline in lens_outlines(plan_, _glasses_depth(surface)):
        pixels = place(outline)
        low = np.maximum(np.floor(pixels.min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(0)).astype(int) + 2, picture.shape[1::-1])
        if (high <= low).any():
            continue
        where = slice(low[1], high[1]), slice(low[0], high[0])
        lens = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(lens, [fixed(pixels - low)], 255, cv2.LINE_AA, 4)
        y, x = np.mgrid[0:1:len(lens) * 1j, 0:1:lens.shape[1] * 1j]
        band = 5 + 30 * np.exp(-0.5 * ((x + 0.8 * y - 0.65) / 0.09) ** 2) * (1 - y)
        band = band * (lens / 255.0) * mask[where]
        picture[where] = np.clip(picture[where] + band[..., None], 0, 255)
