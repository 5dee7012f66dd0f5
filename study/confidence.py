"""How sure a detector is of each landmark, as a probability that means something.

A detector lowers and spreads a heatmap where it is unsure (targets have peak 1, Eq. 12 as we scale
it). How much a peak is worth is fitted on held-out faces: the probability that a landmark lies
within a given share of the distance of the outer eye corners from the true one.
"""

from dataclasses import dataclass

import torch

LOWEST = 0.02  # of a peak; below it a heatmap is flat, and its logarithm says no more


def peaks(h_x, h_y):
    """The lower and the higher of a landmark's two peaks, in [LOWEST, 1].

    Args:
        h_x, h_y: detected heatmaps, each (B, N, L), before any refinement.

    Returns:
        (B, N, 2).
    """
    both = torch.stack([h_x.amax(dim=-1), h_y.amax(dim=-1)], dim=-1)
    return both.float().clamp(LOWEST, 1.0).sort(dim=-1).values


@dataclass(frozen=True)
class Calibration:
    """From peaks to probabilities: a logistic regression with an offset for each landmark.

    Attributes:
        within: share of the distance of the outer eye corners that a landmark may be off.
        slopes: of the logarithms of the lower and of the higher peak.
        offsets: N of them.
    """

    within: float
    slopes: tuple
    offsets: tuple

    def __call__(self, h_x, h_y):
        """The probability that each landmark lies within `within`: (B, N) in (0, 1).

        Args:
            h_x, h_y: as for `peaks`.

        Raises:
            ValueError: heatmaps of another number of landmarks.
        """
        if h_x.shape[-2] != len(self.offsets):
            raise ValueError(f"{h_x.shape[-2]} landmarks; calibrated for {len(self.offsets)}")
        logs = peaks(h_x, h_y).log()  # (B, N, 2)
        return torch.sigmoid(logs @ logs.new_tensor(self.slopes) + logs.new_tensor(self.offsets))
