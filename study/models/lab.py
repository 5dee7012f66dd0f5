"""LAB (Wu et al. 2018) at its smallest: boundary lines are recognised, and help a regressor.

Three recognisers before one regressor: LAB's own 2D maps of the boundaries; the paper's "Ours+LAB"
(Section 5.5), whose boundaries are points along curves in 1D heatmaps; and a control that draws
the boundaries through landmarks in 1D heatmaps.
"""

import torch
from torch import nn
from torch.nn import functional

from study import boundaries, heatmaps
from study.models import coordinates
from study.models.detector import Detector1D, Detector2D, conv_norm_relu, near_zero
from study.models.hourglass import in_full

CELLS, CELL_SIGMA = 64, 1.0  # of a map along each axis, whatever F, and in cells, as LAB has them


class Residual(nn.Module):
    """ResNet's basic block, halving the features: (B, C, S, S) -> (B, C', S/2, S/2)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = conv_norm_relu(inputs, outputs, stride=2)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x):
        return (self.second(self.first(x)) + self.skip(x)).relu()


class FeatureFusion(nn.Module):
    """Features that boundaries gate: F + F * tanh(T(M, F)), T two convolutions.

    (B, C, S, S), maps (B, 13, L, L) -> (B, C, S, S).
    """

    def __init__(self, channels):
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv2d(channels + boundaries.COUNT, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            near_zero(nn.Conv2d(channels, channels, 3, padding=1)),
        )

    def forward(self, x, maps):
        maps = functional.adaptive_avg_pool2d(maps, x.shape[-2:])
        return x + x * self.transform(torch.cat([maps, x], dim=1)).tanh()


class BoundaryRegressor(nn.Module):
    """From a face and the maps of its boundaries to landmarks: LAB's second half.

    Args:
        landmarks: N.
        size: F, px; a multiple of 16.
        width: channels of the first features, doubled twice.

    images (B, 3, F, F), maps (B, 13, L, L) -> points (B, N, 2) in sides of the crop from its
    centre, as `Coordinates` gives them.

    The image alone and multiplied by each map go in together (input fusion), and the maps gate
    the features at F/2, F/4 and F/8 (feature fusion).
    """

    def __init__(self, *, landmarks, size, width=32):
        super().__init__()
        self.landmarks, self.positions = landmarks, (size // 16) ** 2
        channels = (width, 2 * width, 4 * width)
        self.stem = conv_norm_relu(3 * (1 + boundaries.COUNT), width, stride=2)
        self.fusions = nn.ModuleList(FeatureFusion(count) for count in channels)
        following = (*channels[1:], channels[-1])
        self.blocks = nn.ModuleList(map(Residual, channels, following))
        self.regress = near_zero(nn.Linear(channels[-1] * self.positions, 2 * landmarks))

    def forward(self, images, maps):
        large = functional.interpolate(
            maps, images.shape[-2:], mode="bilinear", align_corners=False
        )
        pictures = (images[:, None] * large[:, :, None]).flatten(1, 2)  # (B, 13 * 3, F, F)
        x = self.stem(torch.cat([images, pictures], dim=1))
        for fuse, block in zip(self.fusions, self.blocks, strict=True):
            x = block(fuse(x, maps))
        points = in_full(self.regress, x.flatten(1)) / self.positions
        return points.unflatten(-1, (self.landmarks, 2))


class _WithBoundaries(nn.Module):
    """What the three have in common: a recogniser, its maps, and the regressor.

    The regressor teaches the recogniser nothing: no gradient passes the maps. So one training
    has two losses, of the recogniser's heatmaps and of the regressor's points.

    (B, 3, F, F) -> points (B, N, 2) in sides of the crop, then the recogniser's output.
    """

    def __init__(self, recogniser, landmarks, size, width):
        super().__init__()
        self.size, self.landmarks = size, landmarks
        self.recogniser = recogniser
        self.regressor = BoundaryRegressor(landmarks=landmarks, size=size, width=width // 2)

    def drawn(self, points):
        """Maps (B, 13, 64, 64) of boundaries given as points (B, 224, 2) px along them."""
        return boundaries.boundary_maps(points, self.size, CELLS, CELL_SIGMA)

    def forward(self, images):
        output = self.recogniser(images)
        output = output if isinstance(output, tuple) else (output,)
        with torch.no_grad():
            maps = self.maps(*(part.float() for part in output)).to(images.dtype)
        return self.regressor(images, maps), *output


class LAB(_WithBoundaries):
    """LAB: a 2D detector whose heatmaps are 13 maps of boundaries, and the regressor.

    Args:
        landmarks, size, length, channels, stacks, depth, width, columns, hidden: as in
            `Detector2D`; L is of the maps. The regressor is half as wide.

    Differs from LAB: our backbone, and no message passing between the
    boundaries and no discriminator of the maps, which LAB's authors also leave out of a version
    of theirs.
    """

    def __init__(
        self,
        *,
        landmarks,
        size,
        length,
        channels,
        stacks,
        depth=None,
        width=64,
        columns=4,
        hidden=128,
    ):
        shape = dict(channels=channels, stacks=stacks, depth=depth, width=width)
        shape |= dict(columns=columns, hidden=hidden)
        recogniser = Detector2D(landmarks=boundaries.COUNT, size=size, length=length, **shape)
        super().__init__(recogniser, landmarks, size, width)

    def maps(self, h):
        """The recognised maps, no less than 0."""
        return h.clamp(min=0)


class LAB1D(_WithBoundaries):
    """Ours+LAB: boundaries are recognised as points along curves, in 1D heatmaps, and then drawn.

    Args:
        landmarks, size, length, gamma, channels, stacks, depth, width, columns, hidden: as in
            `Detector1D`. The regressor is half as wide.

    The paper only says that its method takes the place of the 2D recogniser. Here 224 points of
    equal distance along the 13 boundaries are what landmarks are elsewhere; decoded below the
    bin and drawn as polylines, they give the regressor what LAB's maps are.
    """

    recognised = boundaries.POINTS

    def __init__(
        self,
        *,
        landmarks,
        size,
        length,
        gamma,
        channels,
        stacks,
        depth=None,
        width=64,
        columns=4,
        hidden=128,
    ):
        shape = dict(channels=channels, stacks=stacks, depth=depth, width=width)
        shape |= dict(columns=columns, hidden=hidden)
        count = self.recognised or landmarks
        recogniser = Detector1D(landmarks=count, size=size, length=length, gamma=gamma, **shape)
        super().__init__(recogniser, landmarks, size, width)

    def curves(self, points):
        """Points (B, 224, 2) px along the boundaries, of the recognised ones."""
        return points

    def maps(self, h_x, h_y):
        """Maps (B, 13, 64, 64) drawn along the recognised boundaries."""
        points = heatmaps.decode_marginals(h_x, h_y, self.size, "local")
        return self.drawn(self.curves(points))


class LABOfLandmarks(LAB1D):
    """The control of Ours+LAB: boundaries through the 68 landmarks of a 1D detector.

    No boundary is recognised: what it gains over the detector is the drawing and the regressor.
    """

    recognised = None

    def curves(self, points):
        """Points along the boundaries through recognised landmarks."""
        return boundaries.curve_points(points)


# --- objectives --------------------------------------------------------------------------------


def map_targets(points, size, length, sigma):
    """What LAB is to give: points in sides of the crop, and the true maps (B, 13, L, L)."""
    curves = boundaries.curve_points(points)
    return coordinates.to_sides(points, size), boundaries.boundary_maps(
        curves, size, length, sigma
    )


def curve_targets(points, size, length, sigma):
    """What Ours+LAB is to give: points, and 1D heatmaps (B, 224, L) of the curves' points."""
    marginals = heatmaps.marginal_targets(boundaries.curve_points(points), size, length, sigma)
    return coordinates.to_sides(points, size), *marginals


def landmark_targets(points, size, length, sigma):
    """What the control is to give: points, and 1D heatmaps (B, 68, L) of the landmarks."""
    marginals = heatmaps.marginal_targets(points, size, length, sigma)
    return coordinates.to_sides(points, size), *marginals
