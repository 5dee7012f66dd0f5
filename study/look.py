"""The square of a picture that a network looks at, and the way back from it."""

import math

import numpy as np
import torch
from PIL import Image

from study import faces
from study.datasets import augment, crops

SMALLEST = 8.0  # px; a smaller face has no features


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


def crop(image, affine, side):
    """`crops.cut` of a frame, for a fraction of its cost: (side, side, 3) uint8.

    Only the square's surroundings become a Pillow image, and where they have many pixels they are
    first averaged in blocks, to no fewer than two px for each of the crop's.

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
    window = Image.fromarray(np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]))
    # Pixel k of the reduced window is centred on px block * k + (block - 1) / 2 of the window.
    inner = (first - low - (block - 1) / 2) / block
    return crops.cut(window.reduce(block), (step / block, *inner), side)


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
    picture = crop(image, affine, side)
    matrix, shift = augment.crop_affine(1, size, side, 1.0)
    pictures = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]

    def to_image(points):
        cached = augment.to_cached(points.double(), matrix, shift, size, side)
        return crops.to_image(cached[0].numpy(), affine)

    return augment.sample(pictures, matrix, shift, size), to_image


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
