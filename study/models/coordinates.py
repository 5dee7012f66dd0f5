"""A CNN that regresses coordinates, on the same backbone: the rival without heatmaps."""

import math

import torch
from torch import nn

from study import heatmaps
from study.models.detector import conv_norm_relu, halvings, near_zero, require_crop
from study.models.hourglass import Backbone, deepest, in_full

UNIT = 256  # px that the crop's side counts as in the losses, whatever F is


class Coordinates(nn.Module):
    """Convolutions that stride down to a few positions, and one layer from all of them to points.

    Args:
        landmarks: N.
        size: F, side of the face crop, in px.
        channels, stacks, depth: as in `Detector1D`.
        width, hidden: channels of the head's convolutions, in CNN1's and CNN2's places.
        columns: F/4 is halved to columns x columns positions, as CNN1 halves one axis.

    (B, 3, F, F) -> points (B, N, 2) from the crop's centre, in sides of the crop; `to_pixels`
    gives px. A network that has learnt nothing answers about 0, the centre.

    The head is as deep and as wide as each of the 1D detector's two. Its last layer answers with
    the mean over the positions of what each of them says, not with the sum: Adam moves every
    weight as far, and a sum over so many inputs would jump about the crop.
    """

    def __init__(
        self,
        *,
        landmarks,
        size,
        channels,
        stacks,
        depth=None,
        width=64,
        columns=4,
        hidden=128,
    ):
        super().__init__()
        self.landmarks, self.size, self.positions = landmarks, size, columns**2
        depth = deepest(size) if depth is None else depth
        self.backbone = Backbone(channels=channels, stacks=stacks, depth=depth)
        inputs = [channels] + [width] * (halvings(size // 4, columns) - 1)
        self.head = nn.Sequential(
            *(conv_norm_relu(count, width, stride=2) for count in inputs),
            conv_norm_relu(width, hidden),
            conv_norm_relu(hidden, hidden),
            nn.Flatten(),
        )
        self.regress = near_zero(nn.Linear(hidden * self.positions, 2 * landmarks))

    def forward(self, images):
        require_crop(images, self.size)
        features = self.head(self.backbone(images))  # (B, hidden * positions)
        # bfloat16 would round points near the crop's border to 1/512 of its side.
        points = in_full(self.regress, features) / self.positions
        return points.unflatten(-1, (self.landmarks, 2))  # (B, N, 2)


def to_sides(points, size):
    """Points in sides of the crop from its centre: px (..., 2) -> [-0.5, 0.5] inside the crop."""
    return heatmaps.to_bins(points, size, 1)  # the crop as a single bin


def to_pixels(sides, size):
    """The inverse of `to_sides`: (..., 2) -> px of the crop (..., 2)."""
    return heatmaps.to_pixels(sides, size, 1)


def wing(x, w=10.0, epsilon=2.0):
    """The wing function of an error (Feng et al. 2018, CVPR, Eq. 5).

    w ln(1 + |x| / epsilon) where |x| < w, else |x| - C with C = w - w ln(1 + w / epsilon), so that
    both meet at w: unlike L2, it does not lose interest in small errors.

    Args:
        x: errors of any shape, in px of a crop of UNIT px.
        w: where the logarithm ends, in the same px. epsilon: how sharp it bends at 0.

    Returns:
        the same shape.
    """
    size = x.abs()
    constant = w - w * math.log(1 + w / epsilon)
    return torch.where(size < w, w * torch.log1p(size / epsilon), size - constant)


def wing_loss(output, wanted):
    """The wing of every coordinate's error, summed over landmarks, mean over the batch.

    Args:
        output, wanted: tuples of one tensor (B, N, 2), in sides of the crop.
    """
    return wing(UNIT * difference(output, wanted)).sum() / len(output[0])


def squared_loss(output, wanted):
    """L2: squared distances in px of a crop of UNIT px, summed over landmarks, mean over the batch.

    Args:
        output, wanted: as in `wing_loss`.
    """
    return (UNIT * difference(output, wanted)).square().sum() / len(output[0])


def difference(output, wanted):
    """Found minus true points of tuples of one tensor each: (B, N, 2), in sides of the crop.

    Raises:
        ValueError: their shapes differ.
    """
    (found,), (true,) = output, wanted
    if found.shape != true.shape:
        raise ValueError(f"output is {tuple(found.shape)}, wanted is {tuple(true.shape)}")
    return found.float() - true
