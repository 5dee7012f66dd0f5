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


def fit(peak, close, within, ridge=1.0):
    """The calibration that makes what was observed most likely.

    Args:
        peak: (B, N, 2) of `peaks`, on faces that the detector was not trained on.
        close: (B, N) bool, whether each landmark lay within `within` of the true one.
        within: as in `Calibration`.
        ridge: how much each landmark's offset is held to the mean of all, in observations: few
            faces leave a landmark that was always found without an offset of its own.

    Returns:
        Calibration.

    Raises:
        ValueError: shapes that differ, or no face.
    """
    if peak.shape[:2] != close.shape or peak.shape[-1] != 2 or not len(peak):
        raise ValueError(f"peaks are {tuple(peak.shape)}, hits are {tuple(close.shape)}")
    logs, hits = peak.double().log(), close.double()
    slopes = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    mean = torch.zeros((), dtype=torch.float64, requires_grad=True)
    own = torch.zeros(peak.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [slopes, mean, own], max_iter=500, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(
            logs @ slopes + mean + own, hits, reduction="sum"
        ) + ridge / 2 * own.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Calibration(within, tuple(slopes.tolist()), tuple((mean + own).tolist()))


def reliability(confidence, close, bins=10):
    """How often landmarks of about the same confidence are close, in bins of as many landmarks.

    Args:
        confidence, close: arrays of as many entries, probability and bool; NaN is left out.
        bins: how many.

    Returns:
        list of (mean confidence, share that is close, how many), by rising confidence.
    """
    confidence = torch.as_tensor(confidence).double().flatten()
    close = torch.as_tensor(close).flatten()
    known = ~confidence.isnan()
    order = confidence[known].argsort(stable=True)
    parts = zip(
        confidence[known][order].tensor_split(bins), close[known][order].tensor_split(bins),
        strict=True,
    )
    return [(p.mean().item(), c.double().mean().item(), len(p)) for p, c in parts if len(p)]
