"""The square of a picture that a network looks at, and the way back from it."""

import contextlib
import math

import cv2
import numpy as np
import torch
from PIL import Image

from study.datasets import crops
from study.marking import faces

SMALLEST = 8.0  # px; a smaller face has no features
LOBES = 3  # of Lanczos' filter, as Pillow has it
BAND = 20  # px of a crop that are resampled together, from what lies near them


@contextlib.contextmanager
def _on_one_thread():
    """A context, or decorator, for work so small that several threads take longer at it.

    Beside other load they take longer by far.
    """
    count = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(count)


def tight_box(points):
    """(4,) x1, y1, x2, y2 of the tight box of points (N, 2)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def placement(meta):
    """Where the landmarks' tight box lies, given a found face: a `faces.Placement`.

    Args:
        meta: a `weights.Meta`; where it has no placement of its own, that of the 68 points holds.

    Raises:
        ValueError: it has none and is of other points.
    """
    if meta.placement is not None:
        return faces.Placement(*meta.placement)
    if meta.scheme == "ibug68":
        return faces.PLACEMENT
    raise ValueError(
        f"weights of the {meta.landmarks} landmarks {meta.scheme!r} do not say where these lie "
        "in a found face: give boxes"
    )


def can_be_face(box, shape):
    """Whether a tight box (4,) can be a face's in a picture of this (height, width, ...).

    Its centre lies inside, and its longer side is neither tiny nor longer than the picture's.
    """
    height, width = shape[:2]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    side = max(box[2] - box[0], box[3] - box[1])
    inside = -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
    return bool(inside and SMALLEST <= side <= max(height, width))


@_on_one_thread()
def crop(image, affine, side):
    """`crops.cut` of a frame, for a fraction of its cost: (side, side, 3) uint8.

    Only the square's surroundings are touched, and where they have many pixels they are first
    averaged in blocks, to no fewer than two px for each of the crop's.

    Args:
        image: (H, W, 3) uint8 RGB.
        affine: (3,) as `crops.square` gives it.
        side: of the crop, px.

    Raises:
        ValueError: the square lies outside the image.
    """
    step, first = affine[0], np.asarray(affine[1:])
    block = max(1, math.floor(step / 2))
    reach = 4 * step + block  # Lanczos looks three px of the crop beyond its edges
    bounds = np.array(image.shape[1::-1])  # width, height
    low = np.clip(np.floor(first - reach), 0, bounds).astype(int)
    high = np.clip(np.ceil(first + side * step + reach), 0, bounds).astype(int)
    if (high <= low).any():
        raise ValueError(f"the square from {first.round(1)} lies outside the image {bounds}")
    window = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    window = _reduced(window, block)
    # Pixel k of the reduced window is centred on px block * k + (block - 1) / 2 of the window.
    inner = (first - low - (block - 1) / 2) / block
    return _resampled(window, step / block, inner, side)


def _reduced(window, block):
    """Means of blocks of px, as Pillow's `reduce` rounds them: (H, W, 3) uint8."""
    if block == 1:
        return window
    if block > 2:
        return np.asarray(Image.fromarray(window).reduce(block))
    height, width = window.shape[:2]  # the same five times as fast
    even = cv2.copyMakeBorder(window, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _resampled(window, step, first, side):
    """As `crops.cut` with the affine (step, *first): Pillow's two passes as products of matrices.

    The same filter, rounded and clipped after each pass as Pillow does: the same pixels, but for
    one level where a rounding falls the other way.
    """
    margin = math.ceil(LOBES * max(step, 1.0)) + 3
    start = np.floor(first - step / 2).astype(int) - margin
    stop = np.ceil(first + side * step).astype(int) + margin
    size = np.array(window.shape[1::-1])
    left, top = np.maximum(-start, 0)
    right, bottom = np.maximum(stop - size, 0)
    low, high = np.maximum(start, 0), np.minimum(stop, size)
    window = window[low[1] : high[1], low[0] : high[0]]
    window = cv2.copyMakeBorder(window, top, bottom, left, right, cv2.BORDER_REPLICATE)
    for nearest, weights in zip(*_lanczos(step, first - start, side), strict=True):
        window = _pass(cv2.transpose(window), nearest, weights)  # along x, then along y
    return window


def _pass(picture, start, weights):
    """Resamples the rows of a picture (R, W, 3) uint8 -> (side, W, 3) uint8.

    Args:
        start, weights: (side,) and (side, K) of `_lanczos`.
    """
    rows = torch.from_numpy(picture.reshape(len(picture), -1).astype(np.float32))
    side, taps = weights.shape
    dense = torch.zeros(side, len(rows))
    dense.scatter_(1, start[:, None] + torch.arange(taps), weights)
    found, start = torch.empty(side, rows.shape[1]), start.tolist()
    for low in range(0, side, BAND):  # most of the matrix is zero
        high = min(low + BAND, side)
        near = slice(start[low], start[high - 1] + taps)
        torch.mm(dense[low:high, near], rows[near], out=found[low:high])
    rounded = cv2.convertScaleAbs(found.clamp_(min=0).numpy())  # at most 255
    return rounded.reshape(side, *picture.shape[1:])


def _lanczos(step, first, side):
    """Lanczos' weights of px first + i * step, i < side, antialiased where the step is above 1.

    Args:
        first: (2,), along x and y.

    Returns:
        (2, side) the first pixel that each takes from, and (2, side, K) what that and the
        following ones are worth; they sum to 1.
    """
    wide = max(step, 1.0)
    centre = torch.from_numpy(first)[:, None] + step * torch.arange(side, dtype=torch.float64)
    start = (centre - LOBES * wide).floor().long()
    taps = torch.arange(math.ceil(2 * LOBES * wide) + 1)
    away = ((start[..., None] + taps - centre[..., None]) / wide).float()
    weights = torch.sinc(away) * torch.sinc(away / LOBES) * (away.abs() < LOBES)
    return start, weights / weights.sum(dim=-1, keepdim=True)


@_on_one_thread()
def look(image, box, meta):
    """A network's input and the way back from it.

    The same as training's plain crops: a picture of the square, a little larger than F, which is
    then sampled.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) tight box of the landmarks, px of the image.
        meta: a `weights.Meta`.

    Returns:
        images float32 (1, 3, F, F) in [0, 1], and a function from points (1, N, 2) in px of the
        crop to (N, 2) float64 in px of the image.

    Raises:
        ValueError: the box lies outside the image.
    """
    size = meta.config.size
    side = round(size * meta.oversample)
    affine = crops.square(box, meta.scale, side)
    picture = crop(image, affine, side).astype(np.float32)
    # What `augment.sample` gives of the whole picture, to the float's last digits.
    sampled = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
    images = torch.from_numpy(sampled.transpose(2, 0, 1).copy())[None].div_(255)

    def to_image(points):
        cached = (points[0].double().numpy() + 0.5) * (side / size) - 0.5
        return crops.to_image(cached, affine)

    return images, to_image


@_on_one_thread()
def look_at_all(image, boxes, meta):
    """`look` at each of several boxes.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (B, 4) tight boxes of the landmarks, px of the image; one at least.
        meta: a `weights.Meta`.

    Returns:
        images float32 (B, 3, F, F) in [0, 1], and a function from points (B, N, 2) in px of the
        crops to (B, N, 2) float64 in px of the image.

    Raises:
        ValueError: a box lies outside the image.
    """
    looks = [look(image, box, meta) for box in boxes]

    def to_image(points):
        backs = zip(points.split(1), looks, strict=True)
        return np.stack([back(one) for one, (_, back) in backs])

    return torch.cat([images for images, _ in looks]), to_image
