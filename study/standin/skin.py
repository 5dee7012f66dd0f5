"""Paints the head's skin, lips, eyes, brows and beard on a texture over the head's grid."""

import cv2
import numpy as np

from study.standin.head import COLUMNS, ROWS, gauss, smooth_curve, smoothstep

HEIGHT, WIDTH = 512, 624  # px of the texture
SHIFT = 4  # fractional bits of cv2's sub-pixel coordinates
TONES = np.array([[250, 218, 198], [238, 192, 162], [214, 162, 124], [176, 120, 84],
                  [124, 82, 57], [82, 54, 42]]) / 255.0


class Canvas:
    """A texture over the head's grid on which one paints in head coordinates.

    Attributes:
        colour: (HEIGHT, WIDTH, 3) float32 sRGB fractions.
        gloss: (HEIGHT, WIDTH) float32, how much it shines, 1 for skin.
        glow: (HEIGHT, WIDTH) float32, light added after shading (the glint of an eye).
        bump: (HEIGHT, WIDTH) float32, fine relief.
    """

    def __init__(self, surface, height=HEIGHT, width=WIDTH):
        self.surface, self.height, self.width = surface, height, width
        self.colour = np.ones((height, width, 3), np.float32)
        self.gloss = np.ones((height, width), np.float32)
        self.glow = np.zeros((height, width), np.float32)
        self.bump = np.zeros((height, width), np.float32)
        self.layers = {"colour": self.colour, "gloss": self.gloss, "glow": self.glow,
                       "bump": self.bump}

    def copy(self, surface):
        """A copy to paint on over another surface, as when the jaw has moved."""
        out = object.__new__(Canvas)
        out.surface, out.height, out.width = surface, self.height, self.width
        out.layers = {name: layer.copy() for name, layer in self.layers.items()}
        vars(out).update(out.layers)
        return out

    def to_px(self, points):
        """Texture px (n, 2) of points (n, 2) on the front of the face, cm."""
        column, row = self.surface.locate(np.asarray(points, float))
        return np.stack([column * self.width / (COLUMNS - 1),
                         row * self.height / (ROWS - 1)], -1) - 0.5

    def mask(self, draw, pixels, margin, blur):
        """A mask 0 … 1 around px points: the region's slices, and what draw(mask, offset) drew."""
        low = np.maximum(np.floor(pixels.min(0) - margin).astype(int), 0)
        high = np.minimum(np.ceil(pixels.max(0) + margin).astype(int) + 1,
                          [self.width, self.height])
        low = np.minimum(low, [self.width - 1, self.height - 1])
        high = np.maximum(high, low + 1)
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        draw(mask, low)
        if blur > 0:
            mask = cv2.GaussianBlur(mask, (0, 0), blur)
        return (slice(low[1], high[1]), slice(low[0], high[0])), mask.astype(np.float32) / 255

    def lay(self, where, mask, value, layer="colour"):
        """Blends a value into a region of a layer."""
        target = self.layers[layer][where]
        if target.ndim == 3:
            mask = mask[..., None]
        target += mask * (np.asarray(value, np.float32) - target)

    def fill(self, points, value, alpha=1.0, blur=0.0, layer="colour"):
        """Fills a polygon (n, 2) cm; alpha 0 … 1; blur px of the texture."""
        pixels = self.to_px(points)
        where, mask = self.mask(lambda m, low: fill(m, pixels - low), pixels, 2 + 3 * blur, blur)
        self.lay(where, mask * alpha, value, layer)

    def stroke(self, lines, value, alpha=1.0, width=1, blur=0.0, layer="colour"):
        """Draws lines, a list of (n, 2) cm; width px of the texture."""
        ends = np.cumsum([0] + [len(line) for line in lines])
        pixels = self.to_px(np.concatenate(lines))

        def draw(mask, low):
            placed = fixed(pixels - low)
            polylines(mask, [placed[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)], width)

        where, mask = self.mask(draw, pixels, 2 + width + 3 * blur, blur)
        self.lay(where, mask * alpha, value, layer)

    def spot(self, centre, radii, value, alpha=1.0, layer="colour"):
        """A soft spot, radii (x, y) cm; mirrored to both sides where centre's x is not 0."""
        for side in ((-1, 1) if centre[0] else (1,)):
            self.spot_at(np.array([side * centre[0], centre[1]]), radii, value, alpha, layer)

    def spot_at(self, at, radii, value, alpha=1.0, layer="colour"):
        """A soft Gaussian spot at one place (x, y) cm, with radii (x, y) cm."""
        reach = 2.6 * np.array(radii)
        box, middle = self.to_px(np.array([at - reach, at + reach])), self.to_px(at[None])[0]
        where, _ = self.mask(lambda *_: None, box, 0, 0)
        ys, xs = np.ogrid[where]
        sigma = np.maximum(np.abs(box[1] - box[0]) / 5.2, 0.5)
        mask = gauss(xs, ys, *middle, *sigma).astype(np.float32)
        self.lay(where, mask * alpha, value, layer)


def fixed(points):
    """Points in px as cv2's fixed-point integers, with SHIFT fractional bits."""
    return np.round(np.asarray(points) * (1 << SHIFT)).astype(np.int32)


def fill(mask, pixels):
    """Fills a polygon (n, 2) px in a mask, anti-aliased."""
    cv2.fillPoly(mask, [fixed(pixels)], 255, cv2.LINE_AA, SHIFT)


def polylines(mask, lines, width):
    """Draws open lines, already fixed(), into a mask, anti-aliased; width px."""
    cv2.polylines(mask, lines, False, 255, width, cv2.LINE_AA, SHIFT)


def noise(rng, height, width, cells, stretch=1.0):
    """Smooth noise (height, width) float32, about -1 … 1; cells of detail down the height."""
    rows = max(2, int(cells))
    columns = max(2, int(cells * width / height * stretch))
    small = rng.standard_normal((rows, columns)).astype(np.float32) * 0.5
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def tone(identity):
    """The skin's colour (3,), sRGB fraction."""
    at = np.clip(identity.skin, 0, 1) * (len(TONES) - 1)
    colour = np.array([np.interp(at, np.arange(len(TONES)), TONES[:, i]) for i in range(3)])
    return np.clip(colour * (1 + identity.undertone * np.array([0.0, 0.012, -0.03])), 0, 1)


def paint(surface, plan_, identity, expression, light, scalp=None):
    """The painted head, a Canvas.

    Args:
        scalp: (ROWS, COLUMNS) how much the hair's roots colour the skin, 0 … 1; or None.
    """
    rng = np.random.default_rng([identity.seed, 1])
    canvas = Canvas(surface)
    base = tone(identity)
    _skin(canvas, plan_, identity, base, rng)
    _creases(canvas, plan_, identity, expression, base)
    _beard(canvas, plan_, identity, rng)
    _nostrils(canvas, plan_, identity, base)
    _mouth(canvas, plan_, identity, base)
    for side in (0, 1):
        _eye(canvas, plan_, identity, expression, side, base, light, rng)
    for side in (0, 1):
        _brow(canvas, plan_, identity, side, rng)
    if scalp is not None:
        _scalp(canvas, identity, scalp, rng)
    np.clip(canvas.colour, 0, 1, out=canvas.colour)
    return canvas


def paint_skin(surface, plan_, identity, expression, scalp=None):
    """The painted head without the features that move: no mouth, eyes and brows; a Canvas.

    With paint_mouth() and paint_eyes() it makes about what paint() makes. The head of one
    person is then painted once for many pictures, and only the features anew.
    """
    rng = np.random.default_rng([identity.seed, 1])
    canvas = Canvas(surface)
    base = tone(identity)
    _skin(canvas, plan_, identity, base, rng)
    _creases(canvas, plan_, identity, expression, base)
    _beard(canvas, plan_, identity, rng)
    _nostrils(canvas, plan_, identity, base)
    if scalp is not None:
        _scalp(canvas, identity, scalp, rng)
    return canvas


def paint_mouth(canvas, plan_, identity):
    """Paints the mouth, in place."""
    _mouth(canvas, plan_, identity, tone(identity))
    np.clip(canvas.colour, 0, 1, out=canvas.colour)


def paint_eyes(canvas, plan_, identity, expression, light):
    """Paints eyes and brows, in place; lashes and hairs are the identity's in every picture."""
    rng = np.random.default_rng([identity.seed, 7])
    base = tone(identity)
    for side in (0, 1):
        _eye(canvas, plan_, identity, expression, side, base, light, rng)
    for side in (0, 1):
        _brow(canvas, plan_, identity, side, rng)


def _scalp(canvas, identity, scalp, rng):
    size = (WIDTH // 2, HEIGHT // 2)
    grain = cv2.resize(rng.standard_normal((size[1] // 2, size[0]), dtype=np.float32), size)
    cover = cv2.resize(scalp.astype(np.float32), size)
    cover = np.clip(cover * (1 + 0.5 * grain * (1 - cover)), 0, 0.92)
    cover = cv2.resize(cover, (WIDTH, HEIGHT))[: int(0.62 * HEIGHT)]  # no roots on the jaw
    where = slice(0, len(cover))
    canvas.lay(where, cover, np.array(identity.hair.colour) * 0.85)
    canvas.gloss[where] *= 1 - 0.6 * cover


def _skin(canvas, plan_, identity, base, rng):
    coarse = Canvas(canvas.surface, HEIGHT // 4, WIDTH // 4)  # all that is soft
    coarse.colour[:] = base
    fair = 1 - identity.skin
    warm = base * [1.02, 0.80, 0.76]
    for centre, radii, amount in (((3.6, -3.0), (1.7, 1.4), 0.20 + 0.45 * identity.blush),
                                  ((0, plan_.nose + 0.9), (1.1, 1.0), 0.16 + 0.3 * identity.blush),
                                  ((0, plan_.chin + 1.2), (1.6, 1.0), 0.18),
                                  ((0, 4.6), (3.4, 1.4), 0.08)):
        coarse.spot(centre, radii, warm, amount * (0.35 + 0.65 * fair))
    eye_x = 3.1 + identity.eye_distance
    shade = base * [0.84, 0.74, 0.74]
    coarse.spot((eye_x, -0.75), (1.3, 0.45), shade, 0.22 + 0.35 * identity.age)
    coarse.spot((eye_x - 1.2, 0.3), (0.6, 0.6), shade, 0.35)
    coarse.spot((eye_x, 0.8), (1.5, 0.42), shade * [1, 0.98, 0.98], 0.35)
    if identity.makeup > 0.3:
        shadow = 0.5 * base + 0.5 * np.array(identity.lip_colour) * [0.6, 0.6, 0.8]
        coarse.spot((eye_x + 0.15, 0.72), (1.3, 0.40), shadow, 0.6 * identity.makeup)
    for centre, radii in (((0, 5), (2.5, 1.5)), ((0, plan_.nose + 1.1), (0.6, 0.9)),
                          ((0, -1), (0.4, 1.5)), ((0, plan_.chin + 1.3), (0.9, 0.6))):
        coarse.spot(centre, radii, 1.7, 0.7, "gloss")
    h, w = HEIGHT // 2, WIDTH // 2
    mottle = 1 + noise(rng, h, w, 14) * 0.020 + noise(rng, h, w, 60) * 0.022
    mottle = cv2.merge([mottle * (1 + 0.02 * noise(rng, h, w, 9)), mottle, mottle])
    soft = cv2.resize(coarse.colour, (w, h)) * mottle
    canvas.colour = canvas.layers["colour"] = cv2.resize(soft, (WIDTH, HEIGHT))
    pores = rng.standard_normal((h, w), dtype=np.float32)
    canvas.bump += cv2.resize(pores * np.float32(0.05 + 0.05 * identity.age), (WIDTH, HEIGHT))
    canvas.gloss *= cv2.resize(cv2.resize(coarse.gloss, (w, h)) * (1 + 0.25 * pores),
                               (WIDTH, HEIGHT))
    _freckles(canvas, identity, base, rng)


def _freckles(canvas, identity, base, rng):
    count = int(identity.freckles * 260) + rng.integers(0, 4)
    at = np.stack([rng.normal(0, 2.6, count), rng.normal(-1.9, 1.5, count)], -1)
    at = at[np.abs(at[:, 0]) < 6]
    if not len(at):
        return
    pixels, radii = canvas.to_px(at), rng.integers(10, 24, len(at))

    def dots(mask, low):
        for centre, radius in zip(fixed(pixels - low), radii, strict=True):
            cv2.circle(mask, tuple(map(int, centre)), int(radius), 255, -1, cv2.LINE_AA, SHIFT)

    where, mask = canvas.mask(dots, pixels, 4, 0.6)
    canvas.lay(where, mask * 0.42, base * [0.72, 0.55, 0.45])


def _creases(canvas, plan_, identity, expression, base):
    dark = base * [0.72, 0.58, 0.54]
    smile, age = max(expression.smile, 0), identity.age
    n, m = plan_.nose, plan_.mouth
    for side in (-1, 1):
        fold = smooth_curve(np.array([[1.75 * side, n + 0.75], [2.35 * side, n - 0.5],
                                      [(2.95 + 0.3 * smile) * side, m + 0.2]]))
        canvas.stroke([fold], dark, min(0.75, 0.10 + 0.45 * smile + 0.35 * age), 3, 2.2)
        bag = plan_.eyes[(side + 1) // 2] + np.array([[-1.1, -0.75], [0.2, -1.02], [1.1, -0.7]])
        canvas.stroke([smooth_curve(bag)], dark, 0.12 + 0.35 * age + 0.15 * smile, 2, 1.6)
        if age > 0.35 or smile > 0.5:
            outer = plan_.points[(36 if side < 0 else 45) - 17]
            feet = [outer + np.array([[0.3 * side, 0.05 + dy * 0.4], [1.0 * side, dy]])
                    for dy in (-0.45, 0.05, 0.5)]
            canvas.stroke(feet, dark, min(0.6, 0.5 * age + 0.2 * smile), 1, 0.9)
    lines = []
    for height in (3.6, 4.5, 5.4):
        x = np.linspace(-3.2, 3.2, 12)
        lines.append(np.stack([x, height + 0.14 * np.cos(x * 1.1) + 0.1 * np.sin(2 * x)], -1))
    strength = age * 0.40 + 0.22 * max(expression.brow_raise, 0)
    if strength > 0.12:
        canvas.stroke(lines, dark, min(0.5, strength), 2, 1.6)
    if expression.frown > 0.15:
        canvas.stroke([np.array([[s * 0.55, 2.5], [s * 0.42, 1.3]]) for s in (-1, 1)], dark,
                      0.7 * expression.frown, 2, 1.0)


def _beard(canvas, plan_, identity, rng):
    if max(identity.beard, identity.moustache) <= 0.02:
        return
    v = canvas.surface.vertices[..., :]
    x, y = np.abs(v[..., 0]), v[..., 1]
    m, n, c = plan_.mouth, plan_.nose, plan_.chin
    front = v[..., 2] > canvas.surface.sections[:, 3, None] - 1.5
    jaw = smoothstep(m + 0.8, m - 1.6, y + 0.42 * (5.0 - x) * (x < 5.0) + 0.2 * (x - 5) * (x > 5))
    jaw = np.maximum(jaw, smoothstep(5.0, 6.9, x) * smoothstep(-0.2, -4.5, y))
    outer = plan_.curve([48, 59, 58, 57, 56, 55, 54])
    under = np.interp(v[..., 0], outer[:, 0], outer[:, 1])
    jaw *= 1 - 0.8 * gauss(v[..., 0], y, 0, 0.5 * (m + n), 2.0, 0.7)
    jaw *= np.where(x < 2.5, smoothstep(0.05, -0.35, y - under), 1)
    lip = gauss(x, y, 1.15, 0.35 * n + 0.65 * plan_.points[50 - 17, 1] + 0.1, 1.0, 0.36)
    chin = gauss(x, y, 0, c + 1.1, 1.5, 1.0)
    amount = np.maximum(identity.beard * np.maximum(jaw, chin * 0.8),
                        max(identity.moustache, identity.beard * 0.7) * np.minimum(1, 1.5 * lip))
    amount = cv2.resize((amount * front).astype(np.float32), (WIDTH, HEIGHT))
    grain = noise(rng, HEIGHT, WIDTH, 130, 2.2)
    cover = np.clip(amount * (1.15 + 0.9 * grain) - 0.1 * (1 - amount), 0, 0.93)[..., None]
    hair = np.array(identity.brow_colour, np.float32) * (1 + 0.5 * grain[..., None])
    canvas.colour += cover * (hair - canvas.colour)
    canvas.gloss *= 1 - 0.7 * cover[..., 0]
    canvas.bump += 0.5 * grain * cover[..., 0]


def _nostrils(canvas, plan_, identity, base):
    n, w = plan_.nose, identity.nose_width
    dark = base * [0.34, 0.22, 0.20]
    angle = np.linspace(0, 2 * np.pi, 20)
    for side in (-1, 1):
        hole = np.stack([side * (0.62 * w + 0.36 * w * np.cos(angle) + 0.06 * np.sin(angle)),
                         n + 0.17 + 0.17 * np.sin(angle) - 0.05 * np.cos(angle)], -1)
        canvas.fill(hole, base * [0.62, 0.45, 0.42], 0.55, 3.0)
        canvas.fill(hole, dark, 0.92, 1.2)
        wing = smooth_curve(np.array([[1.25 * w, n + 1.05], [1.62 * w, n + 0.75],
                                      [1.62 * w, n + 0.35], [1.25 * w, n + 0.12]]) * [side, 1])
        canvas.stroke([wing], base * [0.66, 0.48, 0.44], 0.55, 2, 1.6)
    under = smooth_curve(np.array([[-0.6 * w, n - 0.04], [0, n - 0.2], [0.6 * w, n - 0.04]]))
    canvas.stroke([under], base * [0.66, 0.5, 0.46], 0.5, 2, 1.8)
    canvas.spot((0, n - 0.9), (0.2, 0.4), base * [0.85, 0.74, 0.72], 0.35)


def _mouth(canvas, plan_, identity, base):
    outer_top, inner_top, inner_bottom, outer_bottom = plan_.lip_outlines()
    outline = np.concatenate([outer_top, outer_bottom[::-1]])
    lip = np.array(identity.lip_colour)
    canvas.fill(outline, base * [0.86, 0.70, 0.68], 0.5, 3.0)
    seam = np.concatenate([outer_top[:1], inner_top, outer_top[-1:]])
    seam_low = np.concatenate([outer_top[:1], inner_bottom, outer_top[-1:]])
    canvas.fill(np.concatenate([outer_top, seam[::-1]]), lip * 0.86, 0.93, 0.9)
    canvas.fill(np.concatenate([outer_bottom, seam_low[::-1]]), lip, 0.93, 0.9)
    middle = 0.5 * (inner_bottom + outer_bottom)
    canvas.stroke([middle[10:30]], np.minimum(lip * 1.22 + 0.04, 1), 0.45, 3, 2.2)
    rows = [np.stack([a, b]) for a, b in zip(outer_bottom[4:-4:2], inner_bottom[4:-4:2],
                                             strict=True)]
    rows += [np.stack([a, b]) for a, b in zip(outer_top[4:-4:2], inner_top[4:-4:2], strict=True)]
    canvas.stroke(rows, lip * 0.72, 0.28, 1, 0.5)
    canvas.fill(outline, 2.6 + 2.5 * identity.makeup, 0.8, 2.0, "gloss")
    _inside(canvas, inner_top, inner_bottom)
    canvas.stroke([seam, seam_low], lip * [0.42, 0.30, 0.30], 0.75, 1, 0.7)
    for corner, side in ((outline[0], -1), (outer_top[-1], 1)):
        dimple = corner + np.array([[-0.12 * side, 0.0], [0.16 * side, -0.05]])
        canvas.stroke([dimple], base * [0.5, 0.34, 0.32], 0.6, 2, 1.5)
    shadow = outer_bottom[8:-8] - [0, 0.22]
    canvas.stroke([shadow], base * [0.72, 0.58, 0.55], 0.4, 4, 3.0)


def _inside(canvas, inner_top, inner_bottom):
    opening = np.concatenate([inner_top, inner_bottom[::-1]])
    gap = (inner_top[:, 1] - inner_bottom[:, 1]).max()
    if gap < 0.1:
        return
    pixels = canvas.to_px(opening)
    where, mask = canvas.mask(lambda m, low: fill(m, pixels - low), pixels, 30, 0.6)
    before = canvas.colour[where].copy()
    canvas.fill(np.concatenate([inner_top + [0, 0.3], inner_bottom[::-1] - [0, 0.3]]),
                [0.20, 0.05, 0.05])
    if gap > 0.5:
        tongue = inner_bottom[8:-8] + [0, 0.0]
        hump = tongue + np.stack([np.zeros(24), 0.42 * gap * np.sin(np.linspace(0, np.pi, 24))], -1)
        canvas.fill(np.concatenate([hump, tongue[::-1] - [0, 0.3]]), [0.55, 0.22, 0.22], 0.9, 3.0)
    _teeth(canvas, inner_top, min(0.85, gap * 0.9 + 0.1), -1)
    if gap > 1.3:
        _teeth(canvas, inner_bottom, 0.30, 1)
    canvas.stroke([inner_top], [0.08, 0.02, 0.02], 0.65, 4, 2.2)
    region = canvas.colour[where]
    region += (1 - mask[..., None]) * (before - region)


def _teeth(canvas, edge, height, direction):
    centre = edge[:, 0].mean()
    reach = 0.5 * np.ptp(edge[:, 0])
    across = (edge[:, 0] - centre) / reach
    size = height * (1 - 0.25 * across**2)
    tips = edge + np.stack([np.zeros(len(edge)), direction * size], -1)
    body = np.concatenate([edge - [0, 0.2 * direction], tips[::-1]])
    canvas.fill(body, [0.92, 0.89, 0.83], 1.0, 0.6)
    for side in (-1, 1):
        dark = edge[np.argsort(-side * across)[:8]]
        band = np.concatenate([dark + [0, 0.3], dark[::-1] - [0, 1.0]])
        canvas.fill(band, [0.34, 0.17, 0.15], 0.4, 4.0)
    gaps = []
    for x in np.arange(-1.9, 2.0, 0.42) + 0.02:
        if abs(x) < reach * 0.9:
            y = np.interp(centre + x, edge[:, 0], edge[:, 1])
            gaps.append(np.array([[centre + x, y], [centre + x, y + direction * height * 0.95]]))
    if gaps:
        canvas.stroke(gaps, [0.62, 0.55, 0.50], 0.45, 1, 0.5)


def _eye(canvas, plan_, identity, expression, side, base, light, rng):
    upper, lower = plan_.eye_outline(side)
    outline = np.concatenate([upper, lower[::-1]])
    openness = (upper[:, 1] - lower[:, 1]).max()
    centre = plan_.eyes[side]
    lid = upper + [0, 0.32]
    canvas.stroke([lid[2:-1]], base * [0.62, 0.48, 0.44], 0.30 + 0.45 * identity.eye_fold, 2, 1.0)
    canvas.fill(np.concatenate([upper, lid[::-1]]), base * [0.94, 0.83, 0.82], 0.4, 1.5)
    if openness > 0.16:
        _eyeball(canvas, outline, upper, centre, identity, expression, light)
    dark = np.array(identity.brow_colour) * 0.5
    rim = 0.55 + 0.4 * identity.makeup
    canvas.stroke([lower[1:-1] - [0, 0.02]], base * [0.70, 0.50, 0.48], 0.8, 2, 0.8)
    canvas.stroke([lower[1:-1]], dark + 0.2 * base, 0.30 * rim + 0.2 * identity.makeup, 1, 0.7)
    canvas.stroke([upper], base * [0.45, 0.32, 0.30], 0.7, 3, 0.9)
    canvas.stroke([upper], dark, rim, 2, 0.7)
    _lashes(canvas, upper, side, identity, dark, rng, openness)


def _lashes(canvas, upper, side, identity, dark, rng, openness):
    outwards = -1 if side == 0 else 1
    strokes = []
    down = -1 if openness < 0.3 else 1
    for i in range(2, 23):
        along = i / 23 if side == 1 else 1 - i / 23
        length = (0.14 + 0.17 * along + 0.12 * identity.makeup) * rng.uniform(0.75, 1.15)
        lean = outwards * (-0.2 + 1.1 * along)
        a = upper[i]
        strokes.append(np.array([a, a + length * np.array([0.45 * lean, 0.55 * down]),
                                 a + length * np.array([0.9 * lean, 0.95 * down])]))
    canvas.stroke(strokes, dark, 0.35 + 0.45 * identity.makeup, 1, 0.35)


def _eyeball(canvas, outline, upper, centre, identity, expression, light):
    pixels = canvas.to_px(outline)
    reach = 36  # px: an iris behind a squinting lid is larger than the opening
    where, mask = canvas.mask(lambda m, low: fill(m, pixels - low), pixels, reach, 0.45)
    keep, glow, gloss = (a[where].copy() for a in (canvas.colour, canvas.glow, canvas.gloss))
    canvas.colour[where] = [0.89, 0.865, 0.85]
    for end in (outline[0], outline[len(upper) - 1]):
        canvas.spot_at(end, (0.40, 0.35), [0.78, 0.56, 0.52], 0.6)
    iris = centre + np.array([expression.gaze_x * 0.55, 0.0 + expression.gaze_y * 0.30])
    _iris(canvas, iris, identity, light)
    canvas.stroke([upper + [0, -0.02]], [0.14, 0.09, 0.08], 0.85, 6, 3.4)
    canvas.gloss[where] = 0.9
    for layer, old in ((canvas.colour, keep), (canvas.glow, glow), (canvas.gloss, gloss)):
        m = mask[..., None] if layer.ndim == 3 else mask
        layer[where] = old + m * (layer[where] - old)


def _iris(canvas, at, identity, light):
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    radius = 0.64
    colour = np.array(identity.iris)
    canvas.fill(at + radius * 1.03 * ring, colour * 0.30, 0.9, 0.8)
    canvas.fill(at + radius * 0.90 * ring, colour, 1.0, 1.0)
    rays = [at + np.stack([0.30 * ring[i], 0.52 * ring[i]]) for i in range(0, 36, 2)]
    canvas.stroke(rays, np.minimum(colour * 1.6 + 0.05, 1), 0.45, 1, 0.5)
    canvas.spot_at(at + [0, -0.28], (0.30, 0.18), np.minimum(colour * 1.9 + 0.08, 1), 0.55)
    canvas.fill(at + 0.25 * ring, [0.02, 0.02, 0.02], 1.0, 0.6)
    side = np.sign(light.direction[0]) or 1.0
    glint = at + np.array([0.20 * side, 0.22]) + 0.105 * ring
    canvas.fill(glint, 0.9, 1.0, 0.5, "glow")
    canvas.fill(at + np.array([-0.2 * side, -0.2]) + 0.07 * ring, 0.25, 1.0, 0.7, "glow")


def _brow(canvas, plan_, identity, side, rng):
    indices = range(17, 22) if side == 0 else range(22, 27)
    spine = plan_.curve(list(indices), 60)
    if side == 1:
        spine = spine[::-1]  # from the outer end to the inner end, both
    spine = spine - [0, 0.08]
    along = np.linspace(0, 1, 60)
    half = (0.16 + 0.26 * identity.brow_thickness) * (0.35 + 0.65 * smoothstep(0, 0.45, along))
    half = half * (1 - 0.25 * smoothstep(0.85, 1, along))
    colour = np.array(identity.brow_colour)
    body = np.concatenate([spine + np.stack([0 * half, half], -1),
                           (spine - np.stack([0 * half, half], -1))[::-1]])
    canvas.fill(body, colour, 0.30 + 0.22 * identity.brow_thickness, 2.6)
    outwards = -1 if side == 0 else 1
    count = int(70 + 90 * identity.brow_thickness)
    i = (60 * rng.uniform(0, 1, count) ** 0.9).astype(int) % 60
    offset = rng.uniform(-1, 1, count)
    start = spine[i] + np.stack([rng.normal(0, 0.03, count), offset * half[i]], -1)
    lift = 0.25 + 0.75 * along[i] - 0.45 * (offset > 0)
    step = rng.uniform(0.30, 0.55, (count, 1)) * np.stack(
        [outwards * (1.0 - 0.45 * along[i]), 0.45 * lift - 0.12], -1)
    strokes = np.stack([start, start + 0.5 * step + [0, 0.03], start + step], 1)  # (count, 3, 2)
    canvas.stroke(strokes[::2], colour * 0.8, 0.55, 1, 0.35)
    canvas.stroke(strokes[1::2], np.minimum(colour * 1.3, 1), 0.55, 1, 0.35)
    canvas.fill(body, 0.3, 0.7, 1.0, "gloss")
