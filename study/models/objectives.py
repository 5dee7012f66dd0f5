"""What each model is trained to give, how far it is from that, and the points in what it gives.

One entry of OBJECTIVES holds all that tells one kind of model from another in training.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from study import heatmaps
from study.models import coordinates, integral, lab, simcc

DIRECT = "direct"  # in place of a decoder, of a model whose output are points


@dataclass(frozen=True)
class Objective:
    """How the output of one kind of model is trained and read. Outputs are tuples of tensors.

    Attributes:
        targets: (points (B, N, 2) px of the crop, F, L, sigma in bins) -> what an output is
            compared with.
        losses: name -> (output, targets) -> a scalar; the first is the model's own.
        points: (output, F, decoder, sigma in bins) -> (B, N, 2) px of the crop.
        decoders: names of all that `points` knows.
    """

    targets: Callable
    losses: dict
    points: Callable
    decoders: tuple


def heatmap_loss(output, wanted):
    """Squared error summed over bins, axes and landmarks, mean over the batch (Eq. 11).

    Args:
        output, wanted: tuples of heatmaps, each (B, N, ...) of equal shapes.
    """
    squares = (
        torch.nn.functional.mse_loss(h.contiguous().float(), target, reduction="sum")
        for h, target in zip(output, wanted, strict=True)
    )
    return sum(squares) / len(output[0])


def _joint_targets(points, size, length, sigma):
    return (heatmaps.joint_targets(points, size, length, sigma),)


def _of_marginals(output, size, decoder, sigma):
    return heatmaps.decode_marginals(*_float(output), size, decoder, sigma=sigma)


def _of_joint(output, size, decoder, sigma):
    return heatmaps.decode_joint(*_float(output), size, decoder, sigma=sigma)


def _of_classes(output, size, decoder, sigma):
    """Every decoder reads softmax, whose argmax is that of the logits; "integral" expects."""
    return heatmaps.decode_marginals(*simcc.probabilities(output), size, decoder, sigma=sigma)


def _side_targets(points, size, length, sigma):
    return (coordinates.to_sides(points, size),)


def _of_sides(output, size, decoder, sigma):
    """The points themselves, whatever the decoder: there is no heatmap to decode."""
    return coordinates.to_pixels(*_float(output), size)


def _of_first(output, size, decoder, sigma):
    """The points that come before what a recogniser of boundaries gives."""
    return coordinates.to_pixels(output[0].float(), size)


def boundary_loss(output, wanted):
    """The wing loss of the points, and the squared error of what the recogniser gives (Eq. 11).

    Args:
        output, wanted: tuples of points (B, N, 2) in sides of the crop, then heatmaps or maps.
    """
    points = coordinates.wing_loss(output[:1], wanted[:1])
    return points + heatmap_loss(output[1:], wanted[1:])


def _with_boundaries(targets):
    return Objective(targets, {"boundaries": boundary_loss}, _of_first, (DIRECT,))


def _float(output):
    return tuple(part.float() for part in output)


DECODERS = tuple(heatmaps.DECODERS)  # the same for joint heatmaps
MARGINAL = Objective(
    heatmaps.marginal_targets, {"squares": heatmap_loss}, _of_marginals, DECODERS
)
JOINT = Objective(_joint_targets, {"squares": heatmap_loss}, _of_joint, DECODERS)
OBJECTIVES = {
    "detector1d": MARGINAL,
    "detector2d": JOINT,
    "tracker1d": MARGINAL,
    "tracker2d": JOINT,
    "simcc": Objective(
        heatmaps.distribution_targets, {"kl": simcc.divergence}, _of_classes, DECODERS
    ),
    "coordinates": Objective(
        _side_targets,
        {"wing": coordinates.wing_loss, "l2": coordinates.squared_loss},
        _of_sides,
        (DIRECT,),
    ),
    "integral": Objective(
        _side_targets, {"l1": integral.absolute_loss}, _of_sides, (DIRECT,)
    ),
    "lab": _with_boundaries(lab.map_targets),
    "lab1d": _with_boundaries(lab.curve_targets),
    "lab_landmarks": _with_boundaries(lab.landmark_targets),
    # Fitted without gradients: `study.fitted`.
    "sdm": Objective(_side_targets, {"ridge": coordinates.squared_loss}, _of_sides, (DIRECT,)),
    **dict.fromkeys(
        ("sdm_tracker", "sta"),
        Objective(_side_targets, {"l2": coordinates.squared_loss}, _of_sides, (DIRECT,)),
    ),
    # Trained by an adversary beside the points' loss: `study.adversarial`.
    "gan": Objective(_side_targets, {"wing": coordinates.wing_loss}, _of_sides, (DIRECT,)),
}
