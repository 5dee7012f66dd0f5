"""SimCC on the same backbone (Li et al. 2022, ECCV): coordinates as classes, 1D heatmaps' rival."""

import torch
from torch import nn

from study.models.detector import conv_norm_relu, halvings, near_zero, require_crop
from study.models.hourglass import Backbone, deepest, in_full

SIDE = 16  # of the map that a landmark's vector is flattened from, at most


class SimCC(nn.Module):
    """A vector for each landmark, and one linear layer for each axis that classifies it.

    Args:
        landmarks: N.
        size: F, side of the face crop, in px.
        length: L = kF, classes along each axis; any number.
        channels, stacks, depth: as in `Detector1D`.
        width, hidden: channels of the head's convolutions, in CNN1's and CNN2's places.
        columns: of the 1D head that this one is to be as deep as; CNN1 halves F/4 to it.

    (B, 3, F, F) -> logits along x and along y, each (B, N, L).

    The head has the convolutions of the 2D detector's; the deconvolution gives way to a 1x1
    convolution to one map a landmark, and two linear layers that the landmarks share, as SimCC's
    code does. Differs from SimCC: where F/4 exceeds SIDE, the first convolutions halve it, or
    else the linear layers would outgrow the 1D detector's head: 6.3 of 6.8 million parameters at
    F = 256 and L = 768.
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
        super().__init__()
        self.landmarks, self.size, self.length = landmarks, size, length
        depth = deepest(size) if depth is None else depth
        self.backbone = Backbone(channels=channels, stacks=stacks, depth=depth)
        layers, inputs, side = [], channels, size // 4
        for _ in range(halvings(side, columns)):
            stride = 2 if side > SIDE else 1
            layers.append(conv_norm_relu(inputs, width, stride))
            inputs, side = width, -(-side // stride)
        self.head = nn.Sequential(
            *layers,
            conv_norm_relu(width, hidden),
            conv_norm_relu(hidden, hidden),
            nn.Conv2d(hidden, landmarks, 1),
        )
        self.classify_x = near_zero(nn.Linear(side**2, length))
        self.classify_y = near_zero(nn.Linear(side**2, length))

    def forward(self, images):
        require_crop(images, self.size)
        vectors = self.head(self.backbone(images)).flatten(2)  # (B, N, side * side)
        # Neighbouring classes differ by less than bfloat16 resolves.
        return in_full(self.classify_x, vectors), in_full(self.classify_y, vectors)


def divergence(output, wanted):
    """Kullback-Leibler divergence KL(target || softmax), SimCC's loss.

    Summed over bins, axes and landmarks, mean over the batch, as Eq. 11 sums. SimCC's code takes
    means over bins and landmarks, 1 / (N L) of this: Adam is indifferent to a factor, as long
    as gradients stay far above its epsilon.

    Args:
        output: logits along x and along y, each (B, N, L).
        wanted: distributions, of the same shapes.
    """
    return sum(
        torch.nn.functional.kl_div(logits.float().log_softmax(dim=-1), target, reduction="sum")
        for logits, target in zip(output, wanted, strict=True)
    ) / len(output[0])


def probabilities(output):
    """Distributions over the bins of each axis, of logits: pairs of (B, N, L)."""
    return tuple(logits.float().softmax(dim=-1) for logits in output)
