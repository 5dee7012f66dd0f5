"""Light on grids of vertices, in camera coordinates: x right, y up, z to the camera, cm."""

import cv2
import numpy as np

WRAP = np.array([0.42, 0.26, 0.18], np.float32)  # red light travels farthest under the skin
GROUND = np.array([0.62, 0.52, 0.45], np.float32)  # what the floor and the clothes send back


def unit(v):
    """Vectors (..., k) scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def normals(vertices):
    """Unit normals (R, C, 3) of a grid (R, C, 3) whose rows go down and columns to the right."""
    down, right = np.gradient(vertices, axis=0), np.gradient(vertices, axis=1)
    return unit(np.cross(down, right))


class ShadowMap:
    """How far the nearest thing to the light is, on a coarse raster seen from the light."""

    CELL = 0.38  # cm
    SIZE = 150

    def __init__(self, grids, direction):
        self.towards = unit(np.asarray(direction, float))
        side = unit(np.cross([0.0, 1.0, 0.1], self.towards))
        self.axes = np.stack([side, np.cross(self.towards, side), self.towards], -1)
        self.depth = np.full((self.SIZE, self.SIZE), -1e3, np.float32)
        points = np.concatenate([g.reshape(-1, 3) for g in grids]) @ self.axes
        x, y = self._cells(points)
        np.maximum.at(self.depth, (y, x), points[:, 2].astype(np.float32))
        self.depth = cv2.dilate(self.depth, np.ones((2, 2), np.uint8))

    def _cells(self, points):
        cells = np.clip(points[:, :2] / self.CELL + self.SIZE / 2, 0, self.SIZE - 1).astype(int)
        return cells[:, 0], cells[:, 1]

    def shade(self, vertices, softness):
        """How much of the light reaches each vertex, (R, C) 0 … 1."""
        points = vertices.reshape(-1, 3) @ self.axes
        x, y = self._cells(points)
        behind = self.depth[y, x] - points[:, 2] - 0.75
        lit = 1 - np.clip(behind / 0.8, 0, 1).reshape(vertices.shape[:2]).astype(np.float32)
        return cv2.GaussianBlur(lit, (0, 0), softness)


def cavity(vertices, normal):
    """Ambient occlusion (R, C) 0 … 1 from the hollowness of the surface at two scales."""
    out = np.ones(vertices.shape[:2], np.float32)
    grid = vertices.astype(np.float32)
    for sigma, weight in ((1.6, 1.3), (5.0, 0.36)):
        hollow = ((cv2.GaussianBlur(grid, (0, 0), sigma) - grid) * normal).sum(-1)
        out *= np.clip(1 - weight * np.maximum(hollow, -0.02), 0.45, 1.02)
    return out


def illuminate(vertices, light, shadows, *, wrap=WRAP, shine=22.0, occlusion=True):
    """Diffuse light (R, C, 3) and mirror-like light (R, C) on a grid, linear fractions.

    Args:
        vertices: (R, C, 3) camera coordinates.
        light: parameters.Light.
        shadows: ShadowMap or None.
        wrap: (3,) how far light reaches round the edge, per colour.
        shine: exponent of the highlight.
        occlusion: whether hollows are darker.
    """
    normal = normals(vertices).astype(np.float32)
    towards = unit(np.asarray(light.direction, float)).astype(np.float32)
    cosine = normal @ towards
    key = np.clip((cosine[..., None] + wrap) / (1 + wrap), 0, 1) ** 1.2
    visible = np.ones(cosine.shape, np.float32)
    if shadows is not None:
        visible = 1 - light.shadow * (1 - shadows.shade(vertices, 2.2 - 1.5 * light.hardness))
    shaded = visible[..., None] ** (1 - 0.45 * wrap)
    ambient = cavity(vertices, normal) if occlusion else visible * 0 + 1
    sky = (0.5 + 0.5 * normal[..., 1:2])
    front = 0.75 + 0.25 * normal[..., 2:3]
    fill = (sky * np.array(light.fill_colour, np.float32) + (1 - sky) * GROUND) * front
    key = key * shaded * np.array(light.colour, np.float32)
    diffuse = light.strength * key + light.fill * fill * ambient[..., None]
    rim = np.clip(1 - normal[..., 2], 0, 1) ** 3 * np.clip(normal[..., 1] * 0.3 - np.sign(
        towards[0]) * normal[..., 0], 0, 1)
    diffuse = diffuse * (0.35 + 0.65 * ambient[..., None]) + light.rim * rim[..., None]
    half = unit(towards + np.array([0, 0, 1], np.float32))
    gleam = np.clip(normal @ half, 0, 1)
    mirror = light.strength * visible * ambient * (gleam**shine + 0.5 * gleam ** (shine * 0.35))
    top = unit(np.array([0.15, 0.65, 0.75], np.float32))
    mirror += 0.35 * light.fill * ambient * np.clip(normal @ top, 0, 1) ** (shine * 0.6)
    return diffuse.astype(np.float32), mirror.astype(np.float32)


def develop(colour, diffuse, mirror, gloss=None, bump=None, glow=None, towards=None):
    """A lit texture (h, w, 3) uint8 sRGB.

    Args:
        colour: (h, w, 3) sRGB fractions of the surface.
        diffuse, mirror: light on the grid, (R, C, 3) and (R, C), stretched over the texture.
        gloss: (h, w) or number, how much of the mirror-like light is sent back.
        bump: (h, w) fine relief, lit from `towards` (x right, y down); or None.
        glow: (h, w) light added; or None.
    """
    size = (colour.shape[1], colour.shape[0])
    out = cv2.resize(diffuse, size, interpolation=cv2.INTER_LINEAR)
    if bump is not None:
        slope = cv2.filter2D(bump, -1, np.array([[0, -towards[1], 0], [-towards[0], 0, towards[0]],
                                                 [0, towards[1], 0]], np.float32))
        out *= (1 - 0.6 * slope)[..., None]
    out *= colour
    out *= colour  # gamma 2: squares are linear light
    shine = cv2.resize(mirror, size, interpolation=cv2.INTER_LINEAR)
    shine *= 0.05 if gloss is None else gloss
    if glow is not None:
        shine += glow
    out += shine[..., None]
    np.maximum(out, 0, out=out)  # fine relief in a hard light can turn it below
    np.sqrt(out, out=out)
    out *= 255
    return np.minimum(out, 255, out=out).astype(np.uint8)
