"""Draws stand-in faces: a 3D head of our own with 68 landmarks, exact to a fraction of a px.

    face = sample_face(np.random.default_rng(0), "common")
    image, points = draw(face, 300)

Landmarks are points of the very grid that is drawn: brows, eyes, nose and lips are painted along
curves through them, and the grid's projection carries both. The contour (0-16) follows what is
seen, as 300W's annotators do: a point lies on the jaw's widest line while that can be seen, and on
the far side slides forwards along its own horizontal section to the visible outline of the cheek.
"""

from dataclasses import replace

import cv2
import numpy as np

from study.standin import hair, head, light, occluders, parts, raster, scene, skin
from study.standin.parameters import Camera, Expression, Face, Identity, Light, Pose, Scene
from study.standin.sample import sample_face

__all__ = ["Camera", "Expression", "Face", "Identity", "Light", "Pose", "Scene", "Sitter", "draw",
           "landmarks", "sample_face"]

SUPERSAMPLE = 2  # a whole number, so that a px is an exact block of finer ones
FACE_HEIGHT = 13.6  # cm from brows to chin
BEHIND = 0.5  # cm that a landmark must lie behind what is drawn there to be hidden
PIVOT = np.array([0.0, -4.2, 2.5])  # cm, what the head turns about, at the picture's centre


def draw(face, size):
    """Draws a face.

    Args:
        face: Face.
        size: px of the square picture, or (height, width).

    Returns:
        image (H, W, 3) uint8 RGB; points (68, 2) float64, px, 0-based, pixel centres at integers.
    """
    return draw_seen(face, size)[:2]


def draw_seen(face, size):
    """Draws a face, and says which of its landmarks are seen.

    A landmark is hidden where what is drawn at its place lies nearer by more than BEHIND: the
    head itself, hair, or an occluder; glasses hide nothing.

    Args:
        face, size: as for `draw`.

    Returns:
        image and points as `draw` gives them, and seen (68,) bool.
    """
    height, width = (size, size) if np.isscalar(size) else size
    model = _Model(face, height, width)
    scene_parts, head_canvas = model.parts()
    picture, seen, at = _render(model, scene_parts, head_canvas)
    behind = scene.background(face.scene, height, width)
    picture = picture + (1 - seen[..., None]) * behind
    return scene.expose(picture, face.camera), model.points(), model.seen(scene_parts, *at)


def landmarks(face, size):
    """The landmarks that draw(face, size) returns, without drawing: (68, 2) px."""
    height, width = (size, size) if np.isscalar(size) else size
    return _Model(face, height, width).points()


def rotation(pose):
    """The head's rotation (3, 3) from head to camera coordinates."""
    yaw, pitch, roll = np.radians([pose.yaw, -pose.pitch, -pose.roll])
    c, s = np.cos, np.sin
    about_y = np.array([[c(yaw), 0, s(yaw)], [0, 1, 0], [-s(yaw), 0, c(yaw)]])
    about_x = np.array([[1, 0, 0], [0, c(pitch), -s(pitch)], [0, s(pitch), c(pitch)]])
    about_z = np.array([[c(roll), -s(roll), 0], [s(roll), c(roll), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


class _Model:
    """A face's geometry in one picture."""

    def __init__(self, face, height, width):
        self.face, self.height, self.width = face, height, width
        self.plan = head.plan(face.identity, face.expression)
        self.surface = head.surface(face.identity, face.expression, self.plan)
        self.turn = rotation(face.pose)
        pose = face.pose
        body = Pose(yaw=0.35 * pose.yaw, pitch=0.1 * pose.pitch, roll=0.25 * pose.roll)
        self.body_turn = rotation(body)
        self.camera_vertices = self.to_camera(self.surface.vertices)
        self.screen = self.project(self.camera_vertices)
        self.first_occluder = 0  # placed() sets it: the occluders are the last parts
        self.glasses = ()  # worn() sets it: which of all parts they are

    def to_camera(self, vertices, turn=None):
        """Head coordinates to camera coordinates, both cm."""
        return (vertices - PIVOT) @ (self.turn if turn is None else turn).T

    @property
    def scale(self):
        """px per cm at the head's pivot."""
        return self.face.pose.scale * self.height / FACE_HEIGHT

    def project(self, vertices):
        """Camera coordinates (..., 3) to x px, y px and depth cm."""
        pose = self.face.pose
        near = self.scale * pose.distance / (pose.distance - vertices[..., 2])
        x = (self.width - 1) / 2 + pose.x * self.width + near * vertices[..., 0]
        y = (self.height - 1) / 2 + pose.y * self.height - near * vertices[..., 1]
        return np.stack([x, y, vertices[..., 2]], -1)

    def grid_points(self):
        """Grid coordinates (column, row) of the 68 landmarks."""
        column, row = self.surface.locate(self.plan.points)
        paths, rows = head.contour(self.surface)
        columns = self.surface.column(paths)
        track = raster.interpolate(self.screen, columns.ravel(), rows.ravel())
        best = _peak(self._outward(track.reshape(*columns.shape, 3)[..., :2]))
        steps = np.arange(columns.shape[1])
        columns, rows = (np.array([np.interp(b, steps, v) for b, v in zip(best, g, strict=True)])
                         for g in (columns, rows))
        return np.concatenate([columns, column]), np.concatenate([rows, row])

    def _outward(self, track):
        """How far out each place (x, y) of the contour's paths lies, px, (17, 40).

        Out is the image of the head's own left or right, and for the chin of its own down.
        """
        across, up = (self.turn[:2, i] * [1, -1] for i in (0, 1))
        across, up = (v / max(np.linalg.norm(v), 1e-6) for v in (across, up))
        out = np.sign(np.arange(17) - 8.0)[:, None] * across
        out[8] = -up
        return np.einsum("psi,pi->ps", track, out)

    def points(self):
        column, row = self.grid_points()
        return raster.interpolate(self.screen, column, row)[:, :2]

    def parts(self):
        """All parts in camera coordinates (the head first), and the head's painted canvas."""
        face = self.face
        canvas = skin.paint(self.surface, self.plan, face.identity, face.expression, face.light,
                            self.roots())
        hiding = occluders.occlude(face.scene, self.landmarks_in_space(),
                                   skin.tone(face.identity))
        return self.placed(canvas, *self.worn(), hiding), canvas

    def roots(self):
        """How much the hair's roots colour the head's skin, on its grid."""
        return hair.roots(self.face.identity, self.surface)

    def worn(self):
        """Parts in head coordinates: those that turn with the head, and neck and shoulders."""
        face, rng = self.face, np.random.default_rng([self.face.identity.seed, 5])
        identity = face.identity
        tone = skin.tone(identity)
        rows = self.surface.sections
        at_ear = np.interp(1.0, -rows[:, 0], rows[:, 1])
        moving = hair.grow(identity, self.surface, rng)
        if identity.hair.style != "scarf":
            moving += [parts.ear(identity, side, at_ear, tone) for side in (-1, 1)]
        if face.scene.glasses:
            before = 1 + len(moving)  # the head comes first
            moving += occluders.glasses(face.scene, self.plan, self.surface)
            self.glasses = tuple(range(before, 1 + len(moving)))
        cloth = np.random.default_rng([face.scene.seed, 6])
        still = [parts.neck(identity, tone, rng),
                 parts.shoulders(identity, face.scene, tone, cloth)]
        return moving, still

    def placed(self, canvas, moving, still, hiding):
        """All parts in camera coordinates: the head, then what is worn(), then the occluders."""
        out = [parts.Part(self.camera_vertices, canvas.colour, canvas.gloss)]
        out += [replace(part, vertices=self.to_camera(part.vertices)) for part in moving]
        out += [replace(part, vertices=self._bend(part.vertices)) for part in still]
        self.first_occluder = len(out)
        return out + hiding

    def _bend(self, vertices):
        """Body to camera coordinates: the neck turns with the head above, with the body below."""
        upper = head.smoothstep(-13.0, -6.0, vertices[..., 1])[..., None]
        lower = self.to_camera(vertices, self.body_turn)
        return upper * self.to_camera(vertices) + (1 - upper) * lower

    def landmarks_in_space(self):
        """The landmarks (68, 3) in camera coordinates, cm."""
        return raster.interpolate(self.camera_vertices, *self.grid_points())

    def seen(self, scene_parts, which, column, row):
        """Which landmarks nothing lies in front of, (68,) bool, from what `_render` drew where."""
        landmarks = self.landmarks_in_space()
        at = np.round(_fine(self.project(landmarks))[:, :2]).astype(int)
        x, y = np.clip(at, 0, np.array(which.shape[::-1]) - 1).T
        nearest = np.full(len(landmarks), -np.inf)
        for part in set(which[y, x]) - {-1, *self.glasses}:
            here = which[y, x] == part
            place = column[y, x][here], row[y, x][here]
            nearest[here] = raster.interpolate(scene_parts[part].vertices, *place)[:, 2]
        return nearest <= landmarks[:, 2] + BEHIND


class Sitter:
    """One person drawn again and again, as in a video: all that stays the same is made once.

    Skin, creases, beard, hair, clothes and background are painted at the face's rest, so that
    nothing flickers; the skin of the chin stretches as the jaw drops. Mouth, eyes and brows are
    painted anew wherever the expression moves them.
    """

    def __init__(self, face, size, margin=0):
        """
        Args:
            face: Face, whose identity and scene stay.
            size: px of the square picture, or (height, width).
            margin: px that the background may be shifted by.
        """
        self.size = (size, size) if np.isscalar(size) else tuple(size)
        rest = replace(face.expression, mouth_open=0.0, teeth=0.0, pucker=0.0)
        front = Pose(scale=face.pose.scale, distance=face.pose.distance)
        model = _Model(replace(face, expression=rest, pose=front), *self.size)
        self.face, self.margin, self.worn = face, margin, model.worn()
        self._skin = skin.paint_skin(model.surface, model.plan, face.identity, rest, model.roots())
        self._front = model.landmarks_in_space()
        self._behind = scene.background(face.scene, *(n + 2 * margin for n in self.size))
        self._eyes = None, None  # what the eyes and brows last were, and the canvas they are on

    def occluder(self, kind, seed):
        """The parts of an occluder (a key of OCCLUDERS) in front of the whole upright face."""
        held = replace(self.face.scene, occluder=kind, occluder_seed=seed)
        found = occluders.occlude(held, self._front, skin.tone(self.face.identity))
        near = np.percentile(np.concatenate([p.vertices[..., 2].ravel() for p in found[:5]]), 20)
        lift = np.array([0, 0, max(self._front[:, 2].max() + 1.0 - near, 0)])
        return [part.moved(lift) for part in found]

    def draw(self, face, hiding=(), pan=(0.0, 0.0)):
        """Draws the person.

        Args:
            face: Face of the same identity and scene; its scene's own occluder is not drawn.
            hiding: Parts in front of the face, in camera coordinates.
            pan: (x, y) px that the background is shifted by, up to the margin.

        Returns:
            image (H, W, 3) uint8 RGB; points (68, 2) px, as `landmarks` has them; hidden (68,)
            bool, the landmarks behind the parts of `hiding`.
        """
        model = _Model(face, *self.size)
        canvas = self._painted(model)
        placed = model.placed(canvas, *self.worn, list(hiding))
        picture, seen, (which, _, _) = _render(model, placed, canvas)
        picture = picture + (1 - seen[..., None]) * self._background(pan)
        points = model.points()
        at = np.clip(np.round(_fine(points)).astype(int), 0, np.array(which.shape[::-1]) - 1)
        hidden = which[at[:, 1], at[:, 0]] >= model.first_occluder
        return scene.expose(picture, face.camera), points, hidden

    def _painted(self, model):
        face, e = model.face, model.face.expression
        state = (e.blink_left, e.blink_right, e.wide_eyes, e.gaze_x, e.gaze_y, e.brow_raise,
                 e.frown, max(e.smile, 0), np.sign(face.light.direction[0]))
        if self._eyes[0] != state:
            canvas = self._skin.copy(model.surface)
            skin.paint_eyes(canvas, model.plan, face.identity, e, face.light)
            self._eyes = state, canvas
        canvas = self._eyes[1].copy(model.surface)
        skin.paint_mouth(canvas, model.plan, face.identity)
        return canvas

    def _background(self, pan):
        height, width = self.size
        if not self.margin:
            return self._behind
        shift = np.array([[1, 0, pan[0] - self.margin], [0, 1, pan[1] - self.margin]], float)
        return cv2.warpAffine(self._behind, shift, (width, height), flags=cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)


def _peak(values):
    """Places (n,) of the highest value along the last axis of (n, m), to a fraction of a step."""
    best = values.argmax(1)
    inner = np.clip(best, 1, values.shape[1] - 2)
    at = np.arange(len(values))
    a, b, c = values[at, inner - 1], values[at, inner], values[at, inner + 1]
    bend = a - 2 * b + c
    offset = np.where(np.abs(bend) > 1e-9, 0.5 * (a - c) / np.where(bend == 0, 1, bend), 0)
    return np.where(best == inner, inner + np.clip(offset, -0.5, 0.5), best)


def _render(model, scene_parts, canvas):
    """The person (H, W, 3) float32 premultiplied, its coverage (H, W) 0 … 1, and what is seen at
    each px of the supersampled picture: the part, -1 for none, and its grid's column and row."""
    face, k = model.face, SUPERSAMPLE
    height, width = int(np.ceil(model.height * k)), int(np.ceil(model.width * k))
    casters = [p.vertices for p in scene_parts if p.casts]
    shadows = light.ShadowMap(casters, face.light.direction)
    sheets = []
    for part in scene_parts:
        sheets.append(raster.Sheet(_fine(model.project(part.vertices)), part.closed, part.alpha))
    which, column, row = raster.rasterize(sheets, height, width)
    picture = np.zeros((height, width, 3), np.uint8)
    for i, part in enumerate(scene_parts):
        texture = _lit(part, face, shadows, canvas if i == 0 else None)
        _paste(picture, which == i, column, row, part.vertices.shape, texture)
    seen = (which >= 0).astype(np.float32)
    if face.scene.glasses in ("thin", "thick"):
        _glints(picture, model, which, model.first_occluder)
    size = (model.width, model.height)
    return (cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA),
            cv2.resize(seen, size, interpolation=cv2.INTER_AREA), (which, column, row))


def _lit(part, face, shadows, canvas):
    """A part's texture in the light, uint8."""
    diffuse, mirror = light.illuminate(part.vertices, face.light, shadows, shine=part.shine)
    if canvas is None:
        return light.develop(part.colour, diffuse, mirror, part.gloss)
    towards = np.array([face.light.direction[0], -face.light.direction[1]])
    return light.develop(part.colour, diffuse, mirror, 0.055 * canvas.gloss, canvas.bump,
                         canvas.glow, towards)


def _paste(picture, mask, column, row, grid, texture):
    """Looks a part's texture up where the part is seen."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return
    where = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
    u = column[where] * (texture.shape[1] / (grid[1] - 1)) - 0.5
    v = row[where] * (texture.shape[0] / (grid[0] - 1)) - 0.5
    drawn = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(drawn, mask[where].astype(np.uint8), picture[where])


def _glints(picture, model, which, hiding):
    """Reflections on clear glasses, wherever no occluder is in front of them."""
    def place(points):
        return _fine(model.project(model.to_camera(points)))[:, :2]

    behind = (which >= 0) & (which < hiding)
    occluders.glint(picture, behind, model.plan, model.surface, place)


def _fine(screen):
    """px of the picture to px of the supersampled picture, in x and y."""
    out = screen.copy()
    out[..., :2] = (out[..., :2] + 0.5) * SUPERSAMPLE - 0.5
    return out
