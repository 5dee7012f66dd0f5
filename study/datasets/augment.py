"""Batch-wise augmentation as tensor operations: a cached context becomes a crop of F px.

The cached picture of a face (S px) holds more than the crop, so that rotating, shrinking and
shifting rarely run out of picture. Both grids have their centre at (side - 1) / 2, so an affine
map about the centres needs no half-pixel terms.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far training faces are varied. All draws are uniform unless said otherwise.

    Attributes:
        rotation: degrees either way.
        scale: share by which the crop's side grows or shrinks, drawn in its logarithm.
        shift: share of the crop's side, along each axis.
        mirror: probability of mirroring.
        brightness: added to all channels, of full scale 1; contrast: its exponential multiplies
            their distance from the mean.
        color: multiplicative range on each channel alone.
        gray: probability of a picture without its colours; the cast still tones it.
        occlusion: probability of a rectangle of noise over part of the face.
    """

    rotation: float = 30.0
    scale: float = 0.25
    shift: float = 0.05
    mirror: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.3
    color: float = 0.15
    gray: float = 0.1
    occlusion: float = 0.3


def _uniform(count, reach, generator):
    return (2 * torch.rand(count, generator=generator) - 1) * reach


def crop_affine(count, size, side, share):
    """The map from a crop to the cached picture that cuts out its middle: (B, 2, 2), (B, 2).

    Args:
        count: B.
        size: F, px of the crop.
        side: S, px of the cached picture.
        share: of the cached side that the crop covers (crop scale / context).

    A crop's px q goes to the cached px p = c_S + A (q - c_F) + t, c the centres.
    """
    matrix = torch.eye(2).expand(count, 2, 2) * (side * share / size)
    return matrix, torch.zeros(count, 2)


def random_affine(count, size, side, share, settings, generator):
    """Like `crop_affine`, rotated, scaled, shifted and mirrored; also the mirrored rows (B,)."""
    matrix, _ = crop_affine(count, size, side, share)
    angle = torch.deg2rad(_uniform(count, settings.rotation, generator))
    zoom = torch.exp(_uniform(count, 1.0, generator) * torch.tensor(1 + settings.scale).log())
    mirrored = torch.rand(count, generator=generator) < settings.mirror
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    flip = torch.ones(count, 2)
    flip[:, 0] = torch.where(mirrored, -1.0, 1.0)
    shift = _uniform((count, 2), settings.shift * side * share, generator)
    return matrix @ turn * flip[:, None, :], shift, mirrored


def sample(faces, matrix, shift, size):
    """Crops of the cached pictures: uint8 (B, 3, S, S) -> float (B, 3, F, F) in [0, 1]."""
    side = faces.shape[-1]
    theta = torch.cat([matrix * (size / side), (2 / side * shift)[..., None]], dim=-1)
    grid = functional.affine_grid(theta, (len(faces), 3, size, size), align_corners=False)
    pictures = faces.to(torch.float32) / 255
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def to_crop(points, matrix, shift, size, side):
    """Points in cached px -> px of the crop, (B, N, 2): the inverse of the crop's map."""
    inverse = torch.linalg.inv(matrix.to(points.dtype))
    centered = points - (side - 1) / 2 - shift[:, None, :].to(points.dtype)
    return centered @ inverse.transpose(-1, -2) + (size - 1) / 2


def to_cached(points, matrix, shift, size, side):
    """Points in px of the crop -> cached px, (B, N, 2)."""
    turned = (points - (size - 1) / 2) @ matrix.to(points.dtype).transpose(-1, -2)
    return turned + shift[:, None, :].to(points.dtype) + (side - 1) / 2


def mirror_points(points, mirrored, order):
    """Renames the landmarks of the mirrored faces: left and right change places. (B, N, 2)."""
    return torch.where(mirrored[:, None, None], points[:, list(order)], points)


def recolor(images, settings, generator):
    """Contrast, brightness, colour cast and gray, one draw a face: (B, 3, F, F) -> the same."""
    count = len(images)
    cast = 1 + _uniform((count, 3, 1, 1), settings.color, generator)
    gain = cast * torch.exp(_uniform((count, 1, 1, 1), settings.contrast, generator))
    offset = _uniform((count, 1, 1, 1), settings.brightness, generator)
    gray = torch.rand(count, 1, 1, 1, generator=generator) < settings.gray
    images = torch.where(gray, images.mean(dim=1, keepdim=True), images)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - middle) * gain + middle + offset


def occlude(images, settings, generator):
    """A rectangle of noise, a tenth to a half of the side, over some of the faces."""
    count, size = len(images), images.shape[-1]
    hit = torch.rand(count, generator=generator) < settings.occlusion
    center = torch.rand(count, 2, generator=generator) * size
    half = (0.05 + 0.2 * torch.rand(count, 2, generator=generator)) * size
    color = torch.rand(count, 3, 1, 1, generator=generator)
    noise = 0.2 * torch.randn(1, 3, size, size, generator=generator)
    pixels = torch.arange(size)
    inside = (pixels - center[..., None]).abs() <= half[..., None]  # (B, 2, F)
    patch = inside[:, 1, :, None] & inside[:, 0, None, :] & hit[:, None, None]
    return torch.where(patch[:, None], color + noise, images)


def augment(faces, points, *, size, share, order, settings, generator):
    """A batch of varied training crops with their landmarks.

    Args:
        faces: uint8 (B, 3, S, S), cached pictures.
        points: (B, N, 2) in cached px.
        size: F, px.
        share: of the cached side that an unvaried crop covers.
        order: the scheme's mirror order, N indices.
        settings: an `Augmentation`.
        generator: torch generator on the CPU; the same state gives the same batch.

    Returns:
        images float32 (B, 3, F, F), around [0, 1] but not clipped to it, and points (B, N, 2) in
        px of the crop.
    """
    side = faces.shape[-1]
    draw = random_affine(len(faces), size, side, share, settings, generator)
    matrix, shift, mirrored = draw
    images = sample(faces, matrix, shift, size)
    images = occlude(recolor(images, settings, generator), settings, generator)
    moved = mirror_points(to_crop(points, matrix, shift, size, side), mirrored, order)
    return images, moved


def plain(faces, points, *, size, share):
    """The unvaried crops of validation and test: images (B, 3, F, F), points in px of the crop."""
    matrix, shift = crop_affine(len(faces), size, faces.shape[-1], share)
    moved = to_crop(points, matrix, shift, size, faces.shape[-1])
    return sample(faces, matrix, shift, size), moved
