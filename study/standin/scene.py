"""Backgrounds, and what the camera does to a picture."""

import cv2
import numpy as np

from study.standin.skin import noise


def background(scene, height, width):
    """A background (height, width, 3) float32, sRGB 0 … 255."""
    rng = np.random.default_rng([scene.seed, 2])
    picture = BACKGROUNDS[scene.background](scene, height, width, rng)
    if scene.focus > 0 and scene.background != "plain":
        picture = cv2.GaussianBlur(picture, (0, 0), 0.3 + 0.022 * height * scene.focus)
    picture *= 1 + 0.02 * noise(rng, height, width, 5)[..., None]
    return np.clip(picture, 0, 255)


def _gradient(scene, height, width, rng):
    base = np.array(scene.colour) * 255
    direction = rng.normal(size=2)
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    slope = (direction[0] * x + direction[1] * y) / 2.5
    vignette = 1 - 0.18 * (x**2 + y**2)
    return (base * ((1 + 0.35 * slope) * vignette)[..., None]).astype(np.float32)


def _palette(scene, rng, count):
    base = np.array(scene.colour) * 255
    return np.clip(base * rng.uniform(0.3, 1.7, (count, 1)) + rng.normal(0, 26, (count, 3)), 4, 250)


def _lights(scene, height, width, rng):
    picture = _gradient(scene, height, width, rng) * 0.45
    for colour in _palette(scene, rng, 26):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        layer = picture.copy()
        cv2.circle(layer, centre, int(height * rng.uniform(0.02, 0.09)),
                   tuple(np.minimum(colour * 1.5 + 40, 255).tolist()), -1, cv2.LINE_AA)
        picture = cv2.addWeighted(layer, 0.55, picture, 0.45, 0)
    return picture


def _room(scene, height, width, rng):
    picture = _gradient(scene, height, width, rng)
    for _ in range(2):
        x, w = rng.uniform(-0.1, 0.9) * width, rng.uniform(0.15, 0.4) * width
        y, h = rng.uniform(-0.2, 0.3) * height, rng.uniform(0.3, 0.7) * height
        frame, pane = _palette(scene, rng, 2)
        bright = np.minimum(pane * 1.5 + 30, 255)
        _box(picture, x, y, w, h, frame)
        _box(picture, x + 0.04 * w, y + 0.03 * h, 0.44 * w, 0.94 * h, bright)
        _box(picture, x + 0.52 * w, y + 0.03 * h, 0.44 * w, 0.94 * h, bright)
    _box(picture, 0, height * rng.uniform(0.65, 0.9), width, height, _palette(scene, rng, 1)[0])
    return picture


def _shelf(scene, height, width, rng):
    picture = _gradient(scene, height, width, rng) * 0.6
    shelf = height * rng.uniform(0.16, 0.28)
    for top in np.arange(rng.uniform(-0.1, 0.0) * height, height, shelf):
        x = -rng.uniform(0, 20)
        while x < width:
            w = width * rng.uniform(0.018, 0.06)
            h = shelf * rng.uniform(0.55, 0.88)
            _box(picture, x, top + shelf * 0.92 - h, w * 0.93, h, _palette(scene, rng, 1)[0])
            x += w
        _box(picture, 0, top + shelf * 0.92, width, shelf * 0.08, np.array(scene.colour) * 110)
    return picture


def _outdoors(_scene, height, width, rng):
    sky = np.array([165, 195, 225]) * rng.uniform(0.75, 1.1)
    y = np.linspace(0, 1, height)[:, None, None]
    picture = np.broadcast_to((sky * (1 + 0.15 * y)), (height, width, 3)).astype(np.float32).copy()
    horizon = rng.uniform(0.25, 0.6) * height
    leaf = np.array([70, 100, 45]) * rng.uniform(0.6, 1.4)
    edge = horizon + noise(rng, 8, width, 3)[0] * 0.15 * height
    trees = np.arange(height)[:, None] > edge[None]
    texture = 1 + 0.35 * noise(rng, height, width, 30) + 0.3 * noise(rng, height, width, 8)
    picture[trees] = (leaf * texture[..., None])[trees]
    ground = np.arange(height) > horizon + 0.25 * height
    picture[ground] = picture[ground] * 0.4 + np.array([150, 140, 110]) * 0.6
    return np.clip(picture, 0, 255)


def _bricks(scene, height, width, rng):
    base = np.array(scene.colour) * 255 * [1.1, 0.85, 0.75]
    picture = np.broadcast_to(base * 0.75, (height, width, 3)).astype(np.float32).copy()
    h = max(6, int(height * rng.uniform(0.04, 0.08)))
    for row, y in enumerate(range(0, height, h)):
        for x in range(-h * 3 + (row % 2) * h, width, int(h * 2.2)):
            _box(picture, x, y, h * 2.2 - 2, h - 2, base * rng.uniform(0.85, 1.2))
    return picture * (1 + 0.06 * noise(rng, height, width, 60)[..., None])


def _clutter(scene, height, width, rng):
    picture = _gradient(scene, height, width, rng)
    for colour in _palette(scene, rng, 34):
        centre = rng.uniform(0, 1, 2) * [width, height]
        size = rng.uniform(0.03, 0.16, 2) * height
        angle = rng.uniform(0, 180)
        if rng.random() < 0.5:
            box = cv2.boxPoints((tuple(centre), tuple(size * 2), angle))
            cv2.fillPoly(picture, [np.round(box * 16).astype(np.int32)], colour.tolist(),
                         cv2.LINE_AA, 4)
        else:
            cv2.ellipse(picture, tuple(map(int, centre)), tuple(map(int, size)), angle, 0, 360,
                        colour.tolist(), -1, cv2.LINE_AA)
    return picture * (1 + 0.10 * noise(rng, height, width, 40)[..., None])


def _crowd(scene, height, width, rng):
    """People far behind: heads and shoulders, out of focus."""
    picture = _room(scene, height, width, rng)
    for _ in range(rng.integers(3, 7)):
        x, y = rng.uniform(0, width), rng.uniform(0.15, 0.55) * height
        r = height * rng.uniform(0.07, 0.14)
        skin = np.array([225, 180, 150]) * rng.uniform(0.35, 1.05)
        clothes, hair = _palette(scene, rng, 2)
        for centre, axes, colour in (((x, y + 3.4 * r), (2.1 * r, 2.2 * r), clothes),
                                     ((x, y - 0.25 * r), (r, 1.2 * r), hair * 0.4),
                                     ((x, y + 0.15 * r), (0.8 * r, 1.05 * r), skin)):
            cv2.ellipse(picture, tuple(map(int, centre)), tuple(map(int, axes)), 0, 0, 360,
                        colour.tolist(), -1, cv2.LINE_AA)
    return picture


def _box(picture, x, y, w, h, colour):
    cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)),
                  np.clip(colour, 0, 255).tolist(), -1)


BACKGROUNDS = {"plain": _gradient, "lights": _lights, "room": _room, "shelf": _shelf,
               "outdoors": _outdoors, "bricks": _bricks, "clutter": _clutter, "crowd": _crowd}


def expose(picture, camera):
    """The camera's effects on a picture (H, W, 3) float32 0 … 255; returns uint8."""
    picture = picture * (np.array(camera.tint) * camera.exposure).astype(np.float32)
    if camera.saturation != 1:
        grey = picture.mean(-1, keepdims=True)
        picture = grey + camera.saturation * (picture - grey)
    if camera.contrast != 1:
        picture = 128 + camera.contrast * (picture - 128)
    if camera.blur > 0.05:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    if camera.motion > 1:
        picture = cv2.filter2D(picture, -1, _streak(camera))
    if camera.noise > 0:
        rng = np.random.default_rng([camera.seed, 3])
        grain = rng.standard_normal(picture.shape, dtype=np.float32)
        bright = np.sqrt(0.35 + 0.65 * np.clip(picture, 0, 255) / 255)
        picture = picture + 255 * camera.noise * bright * grain
    picture = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    if camera.jpeg:
        flags = [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg]
        coded = cv2.imencode(".jpg", picture[..., ::-1], flags)[1]
        picture = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return picture


def _streak(camera):
    """A kernel (k, k) that smears along a line of camera.motion px, with its centre at rest."""
    size = 2 * int(np.ceil(camera.motion / 2)) + 3
    kernel = np.zeros((size, size), np.uint8)
    middle = (size - 1) / 2
    angle = np.radians(camera.motion_angle)
    reach = camera.motion / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = np.round((np.array([middle - reach, middle + reach])) * 16).astype(np.int32)
    cv2.line(kernel, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 255, 1, cv2.LINE_AA, 4)
    kernel = kernel.astype(np.float32)
    kernel = kernel + kernel[::-1, ::-1]  # symmetric, so that nothing moves
    return kernel / kernel.sum()
