"""Integral regression: a 2D heatmap detector trained through its expectation (Sun et al. 2018)."""

import torch

from study.models.coordinates import UNIT, difference
from study.models.detector import Detector2D


class Integral(Detector2D):
    """`Detector2D` whose answer is the centre of mass of the softmax of its map (ECCV 2018).

    Args: as in `Detector2D`.

    (B, 3, F, F) -> points (B, N, 2) from the crop's centre, in sides of the crop, as `Coordinates`
    gives them. Nothing says what the map has to look like, so there is no target and no sigma; a
    network that has learnt nothing answers about 0, the centre of a flat map.
    """

    def forward(self, images):
        h = super().forward(images)
        # As in `Coordinates`: bfloat16 would round points to 1/512 of the crop's side.
        with torch.autocast(images.device.type, enabled=False):
            return expectation(h.to(self.head[-1].weight.dtype))


def expectation(h):
    """Centre of mass of softmax(h): (..., L, L), rows along y -> (..., 2) in sides of the crop."""
    length = h.shape[-1]
    bins = torch.arange(length, dtype=h.dtype, device=h.device)
    sides = (bins + 0.5) / length - 0.5  # the bins' centres
    p = h.flatten(-2).softmax(dim=-1).unflatten(-1, (length, length))
    return torch.stack([p.sum(-2) @ sides, p.sum(-1) @ sides], dim=-1)


def absolute_loss(output, wanted):
    """L1: absolute errors in px of a crop of UNIT px, summed over landmarks, mean over the batch.

    Args:
        output, wanted: tuples of one tensor (B, N, 2), in sides of the crop.
    """
    return UNIT * difference(output, wanted).abs().sum() / len(output[0])
