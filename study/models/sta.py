"""STA, which steadies the landmarks of a 2D detector over the frames of a video (Tai et al. 2019).

FHR's authors published their measures of stability (`study.metrics`) but neither the code nor all
of the equations of the stabiliser. What is here is a mixture of two guesses from the past, a face
that stays and one that moves on, weighed against what the detector sees by the steps of EM.
"""

import copy
from typing import NamedTuple

import torch
from torch import nn

from study import heatmaps, metrics
from study.models import coordinates
from study.models.tracker import forget


class Law(NamedTuple):
    """What a stabiliser knows of faces, of their motion and of its detector's errors.

    Lengths count in longer sides of the face's tight box, so that a law holds at every size.

    Attributes:
        basis: (2N, 2N), in its rows the directions of shapes, orthonormal; a shape is its points
            (x_1, y_1, x_2, ...). Along them all covariances are diagonal.
        r: R, (2N,) variances of the detector's error.
        q1, q2: Q_1, Q_2, (2N,) variances around a face that stays, and around one that moves on.
        pi: (), how often a face stays, in [0, 1].
        beta: (), share of the last movement that a face keeps when it moves on.
    """

    basis: torch.Tensor
    r: torch.Tensor
    q1: torch.Tensor
    q2: torch.Tensor
    pi: torch.Tensor
    beta: torch.Tensor


def law_of(basis, r, q1, q2, factors, share, pi, beta):
    """The law of what a fit starts from and of what it finds: a stabiliser's buffers.

    Args:
        basis, pi, beta: as in `Law`.
        r, q1, q2: (2N,) of the detector's error on videos, and of the truth's own movements.
        factors: (3,) on R, Q_1 and Q_2.
        share: () of R that both Q_k have besides. The guesses start from y_(t-1), which is no
            truth: with movements alone, a shape that the first frame gets wrong would stay.

    Returns:
        `Law`: R = factors_1 r, Q_k = factors_(k+1) q_k + share R.
    """
    r, q1, q2 = factors[:, None] * torch.stack([r, q1, q2])
    return Law(basis, r, q1 + share * r, q2 + share * r, pi, beta)


def extent(points):
    """Longer side of the tight box of landmarks: (..., N, 2) px -> (...) px."""
    return 100 * metrics.hundredth(points)


def along(basis, change):
    """Differences of shapes along the directions of a basis: (..., N, 2) -> (..., 2N)."""
    return change.flatten(-2) @ basis.T


def across(basis, change):
    """The inverse of `along`: (..., 2N) -> (..., N, 2)."""
    return (change @ basis).unflatten(-1, (-1, 2))


def guesses(past, points, beta):
    """Where the past puts the face: y_(t-1), and y_(t-1) + beta (y_(t-1) - y_(t-2)).

    Args:
        past: (y_(t-1), y_(t-2)), each (B, N, 2) px; NaN where a face has no such past.
        points: p_t, (B, N, 2) px, the guess of a face without past.
        beta: ().

    Returns:
        (2, B, N, 2) px; both are y_(t-1) where it alone is known.
    """
    missing = [part.isnan().flatten(1).any(dim=1)[:, None, None] for part in past]
    last = torch.where(missing[0], points, past[0])
    before = torch.where(missing[0] | missing[1], last, past[1])
    return torch.stack([last, last + beta * (last - before)])


def responsibilities(y, guessed, law):
    """E step: r_k in proportion to pi_k N(y; mu_k, Q_k), by logarithms.

    Args:
        y: (B, 2N), along the basis. guessed: mu_1, mu_2, (2, B, 2N), from the same origin.
        law: `Law`.

    Returns:
        (2, B), of sum 1 over both.
    """
    spread = torch.stack([law.q1, law.q2])[:, None]  # (2, 1, 2N)
    fit = ((y - guessed).square() / spread + spread.log()).sum(dim=-1) / 2  # (2, B)
    share = torch.stack([law.pi, 1 - law.pi]).log()
    return (share[:, None] - fit).softmax(dim=0)


def weighed(guessed, share, law):
    """M step: y = (1/R + sum_k r_k / Q_k)^-1 sum_k r_k mu_k / Q_k, from p_t as the origin.

    Args:
        guessed: mu_1 - p_t, mu_2 - p_t, (2, B, 2N) along the basis.
        share: r_k, (2, B).
        law: `Law`.

    Returns:
        (B, 2N): y - p_t.
    """
    weight = share[..., None] / torch.stack([law.q1, law.q2])[:, None]  # (2, B, 2N)
    return (weight * guessed).sum(dim=0) / (1 / law.r + weight.sum(dim=0))


def stabilise(points, past, law, steps):
    """The likeliest shapes of one frame by what is seen and by the past, as far as EM climbs.

    p_t ~ N(y, R), y ~ pi N(y_(t-1), Q_1) + (1 - pi) N(y_(t-1) + beta v_(t-1), Q_2) with
    v_(t-1) = y_(t-1) - y_(t-2), from y = p_t on.

    Args:
        points: p_t, (B, N, 2) px, of finite numbers.
        past: (y_(t-1), y_(t-2)), each (B, N, 2) px of the same picture; NaN is no past.
        law: `Law`, whose sides of the face are those of y_(t-1), or of p_t without past.
        steps: E steps, each with its M step.

    Returns:
        y_t, (B, N, 2) px: p_t for a face without past.

    Differs from Tai et al., who give no prior in closed form that could be re-built: the mixture,
    its diagonal covariances and the number of steps are ours.
    """
    guessed = guesses(past, points, law.beta)
    side = extent(guessed[0]).clamp(min=torch.finfo(points.dtype).tiny)
    guessed = along(law.basis, guessed - points) / side[:, None]  # (2, B, 2N)
    moved = torch.zeros_like(guessed[0])
    for _ in range(steps):
        moved = weighed(guessed, responsibilities(moved, guessed, law), law)
    return points + side[:, None, None] * across(law.basis, moved)


def _fresh(count):
    """Arguments of `law_of` under which what is seen is believed, of 2N = `count` coordinates."""
    one = torch.ones(count)
    return {
        "basis": torch.eye(count),
        "r": torch.zeros(count),
        "q1": one,
        "q2": one.clone(),
        "factors": torch.ones(3),
        "share": torch.tensor(0.0),
        "pi": torch.tensor(0.5),
        "beta": torch.tensor(1.0),
    }


class STA(nn.Module):
    """A detector of heatmaps, frame by frame, and the stabiliser over its landmarks.

    Args:
        detector: a `Detector2D` or one of its interface, already trained: (B, 3, F, F) -> joint
            heatmaps (B, N, L, L), or a pair of marginal ones (B, N, L). It has `landmarks` and
            `size`. The stabiliser holds a frozen copy of it: without gradients, and in evaluation
            mode even while the stabiliser is in training.
        sigma: of the detector's targets, in bins, for FHR's fraction of a bin; None takes the
            width from each heatmap.
        steps: of EM.

    State: (y_(t-1), y_(t-2)), each (B, N, 2) px of the present crop: whoever holds it moves it
    from one frame's crop to the next's (`moves`). It is handed in and back and never written
    into; NaN, or None in place of it, is no past.

    Nothing is trained by gradients: `smoothing.fit` sets the buffers, the arguments of `law_of`.
    A fresh stabiliser equals its detector: its R is 0.
    """

    moves = True

    def __init__(self, detector, *, sigma=None, steps=5):
        super().__init__()
        self.detector = copy.deepcopy(detector).requires_grad_(False).eval()
        self.landmarks, self.size = detector.landmarks, detector.size
        self.sigma, self.steps = sigma, steps
        for name, value in _fresh(2 * self.landmarks).items():
            self.register_buffer(name, value)

    def train(self, mode=True):
        """Training mode for all but the detector, whose batch norms keep their statistics."""
        super().train(mode)
        self.detector.eval()
        return self

    @property
    def law(self):
        """The fitted `Law`."""
        return law_of(**dict(self.named_buffers(recurse=False)))

    def adopt(self, fitted):
        """Takes over what a fit has found, the arguments of `law_of` by name."""
        for name, value in fitted.items():
            getattr(self, name).copy_(value)

    @torch.no_grad()
    def observe(self, images):
        """What the detector sees: (B, 3, F, F) -> points (B, N, 2) in sides, by FHR's decoder."""
        h = self.detector(images)
        if isinstance(h, tuple):
            h = (part.float() for part in h)
            points = heatmaps.decode_marginals(*h, self.size, "fractional", sigma=self.sigma)
        else:
            points = heatmaps.decode_joint(h.float(), self.size, "fractional", sigma=self.sigma)
        return coordinates.to_sides(points, self.size)

    def stabilise(self, points, past=None):
        """One frame's points, steadied by the past: see the function of that name.

        Args:
            points: (B, N, 2) px. past: (y_(t-1), y_(t-2)) in px of the same picture, or None.

        Returns:
            (B, N, 2) px, and the past of the next frame.

        Raises:
            ValueError: points or past do not belong to this stabiliser, or to each other.
        """
        past = self._past(points, past)
        # Under autocast the products with the basis would be rounded to 1/256 of a movement.
        with torch.autocast(points.device.type, enabled=False):
            law = Law(*(part.to(points) for part in self.law))
            steady = stabilise(points, past, law, self.steps)
        return steady, (steady, past[0])

    def _past(self, points, past):
        if points.shape[1:] != (self.landmarks, 2):
            raise ValueError(f"points are {tuple(points.shape)}; wanted (B, {self.landmarks}, 2)")
        if past is None:
            return (torch.full_like(points, torch.nan),) * 2
        shapes = [tuple(part.shape) for part in past]
        if shapes != [tuple(points.shape)] * 2:
            raise ValueError(f"the past is {shapes}; wanted twice {tuple(points.shape)}")
        return past

    def step(self, images, state=None):
        """One frame of images (B, 3, F, F): the detector, then `stabilise`.

        Returns:
            (points,), (B, N, 2) in sides of the crop, and the state of this frame, in px of it.

        Raises:
            ValueError: as in `stabilise`.
        """
        points = coordinates.to_pixels(self.observe(images), self.size)
        points, state = self.stabilise(points, state)
        return (coordinates.to_sides(points, self.size),), state

    def reset(self, state, lost):
        """The state without the past of the faces where `lost` (B,) is true; see `forget`."""
        return forget(state, lost, none=torch.nan)
