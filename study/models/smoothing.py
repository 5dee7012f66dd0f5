"""What makes a detector's landmarks steady over videos, and how it is fitted: STA and two controls.

A smoother is a function of observed points (T, V, N, 2) px, the frames of V videos side by side,
to steady ones. All here are causal: frame t of what they give depends on frames up to t alone.
"""

import math
from dataclasses import dataclass
from functools import cached_property, partial

import torch

from study import metrics
from study.models import sta

WEIGHTS = (0.1, 1.0, 10.0)  # mu, of the two measures that a fit makes small
SHARES = (0.0, 0.03, 0.1, 0.3)  # of R in both Q_k
EVALUATIONS = 120  # of the objective, in one fit
# ln of the factors on R, Q_1 and Q_2, logit of pi, beta: where a fit of STA starts, and how far its
# first simplex reaches.
FIRST = (0.0, 0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0, -0.3)
FLOOR = 1e-4  # of the mean variance along all directions, of each of them


@dataclass(frozen=True)
class Paths:
    """Landmarks of videos: what a detector sees of them, and where they are.

    Attributes:
        observed, truth: (R, N, 2) px of the same pictures, whose place and scale change with the
            camera alone (image px, not those of crops that follow the face); videos one after
            the other.
        lengths: frames of each video, R in all.
    """

    observed: torch.Tensor
    truth: torch.Tensor
    lengths: tuple

    @cached_property
    def beside(self):
        """observed and truth, each (T, V, N, 2), of the videos side by side."""
        return tuple(side_by_side(part, self.lengths) for part in (self.observed, self.truth))


def _present(lengths, device=None):
    """(T, V) bool: which frames a video has."""
    frames = torch.arange(max(lengths), device=device)
    return frames[:, None] < torch.as_tensor(lengths, device=device)


def side_by_side(points, lengths):
    """Videos one after the other as videos side by side, the short ones held at their last frame.

    Args:
        points: (R, N, 2). lengths: frames of each video, one at least, R in all.

    Returns:
        (T, V, N, 2), T frames of the longest.

    Raises:
        ValueError: the lengths do not add up to R, or one of them is 0.
    """
    lengths = torch.as_tensor(lengths, device=points.device)
    if lengths.sum() != len(points) or lengths.min() < 1:
        raise ValueError(f"{len(points)} frames are not those of videos of {lengths.tolist()}")
    frames = torch.arange(lengths.max(), device=points.device)[:, None]
    return points[lengths.cumsum(0) - lengths + torch.minimum(frames, lengths - 1)]


def one_by_one(points, lengths):
    """The inverse of `side_by_side`: (T, V, N, 2) -> (R, N, 2)."""
    return points.transpose(0, 1)[_present(lengths, points.device).T]


def smoothed(smoother, observed, lengths):
    """Videos one after the other, each smoothed by itself: (R, N, 2) px -> (R, N, 2) px.

    Args:
        smoother: a function of (T, V, N, 2).
        observed: (R, N, 2), as in `Paths`. lengths: frames of each video.
    """
    return one_by_one(smoother(side_by_side(observed, lengths)), lengths)


# --- smoothers: (T, V, N, 2) px, side by side -----------------------------------------------------


def steady(observed, law, steps):
    """The stabiliser (`sta.stabilise`) over videos: (T, V, N, 2) px -> the same."""
    law = sta.Law(*(part.to(observed) for part in law))
    past = (torch.full_like(observed[0], torch.nan),) * 2
    found = []
    for points in observed:
        past = sta.stabilise(points, past, law, steps), past[0]
        found.append(past[0])
    return torch.stack(found)


def smoother_of(model):
    """The smoother of a fitted `sta.STA`."""
    return partial(steady, law=model.law, steps=model.steps)


def exponential(observed, share):
    """Exponential smoothing: y_t = y_(t-1) + share (p_t - y_(t-1)), from y_1 = p_1 on.

    Args:
        observed: p, (T, V, N, 2) px. share: in [0, 1], what a new frame counts.
    """
    found = [observed[0]]
    for points in observed[1:]:
        found.append(found[-1] + share * (points - found[-1]))
    return torch.stack(found)


def kalman(observed, acceleration, speed):
    """A Kalman filter of constant velocity, every coordinate by itself and all alike.

    The state is (place, velocity); between frames the velocity changes by a random acceleration,
    constant over one frame: x_t = x + v + a / 2, v_t = v + a. It starts at (p_1, 0).

    Args:
        observed: p, (T, V, N, 2) px, whose error has variance 1 (only ratios matter).
        acceleration: variance of a. speed: variance of v_1, by the same unit, frames apart.
    """
    place, velocity = observed[0], torch.zeros_like(observed[0])
    # Covariance of the state: of place, of both, of velocity.
    xx, xv, vv = 1.0, 0.0, speed
    found = [place]
    for points in observed[1:]:
        place = place + velocity
        xx, xv = xx + 2 * xv + vv + acceleration / 4, xv + vv + acceleration / 2
        vv = vv + acceleration
        gain_x, gain_v = xx / (xx + 1), xv / (xx + 1)
        missed = points - place
        place, velocity = place + gain_x * missed, velocity + gain_v * missed
        xx, xv, vv = (1 - gain_x) * xx, (1 - gain_x) * xv, vv - gain_v * xv
        found.append(place)
    return torch.stack(found)


# --- fitting ----------------------------------------------------------------------------------


def _seen(lengths, device=None):
    """For each measure, (T, V) bool: the frames of videos side by side that have it."""
    there = _present(lengths, device)
    inner = torch.zeros_like(there)
    inner[:-1] = there[1:]  # those before a video's last frame
    return {"E1": there, "E2": there, "E3": inner, "E4": inner}


def measured(points, truth, lengths, names=tuple(metrics.STABILITY)):
    """Means of E1 to E4 (`metrics.STABILITY`) over all frames of videos side by side that have one.

    Args:
        points, truth: (T, V, N, 2) px. lengths: frames of each video. names: which of the four.

    Returns:
        dict of numbers.
    """
    seen, terms = _seen(lengths, points.device), metrics.STABILITY
    return {name: terms[name](points, truth)[seen[name]].nanmean().item() for name in names}


def objective(found, weight):
    """What a fit makes small: E1^2 + mu E4^2, of `measured`; mu is `weight`.

    No delay and a straight way, the two aims that Tai et al. name; how they weigh them is unknown.
    """
    return found["E1"] ** 2 + weight * found["E4"] ** 2


def _minimise(made, start, steps, paths, weight, evaluations):
    """The values at which a smoother's objective on paths is smallest, by Nelder and Mead.

    Args:
        made: values -> smoother.
        start, steps: first values, and how far the first simplex reaches from each.
    """
    from scipy import optimize  # slow to import, and of use here alone

    observed, truth = (part.float() for part in paths.beside)

    def score(values):
        points = made(values)(observed)
        value = objective(measured(points, truth, paths.lengths, ("E1", "E4")), weight)
        return value if math.isfinite(value) else math.inf

    simplex = [list(start)]
    for place, step in enumerate(steps):
        simplex.append([*start[:place], start[place] + step, *start[place + 1 :]])
    options = {"initial_simplex": simplex, "maxfev": evaluations, "xatol": 1e-2, "fatol": 1e-5}
    return optimize.minimize(score, start, method="Nelder-Mead", options=options).x.tolist()


def _sigmoid(x):
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, x))))


def directions(truth):
    """Orthonormal directions of shapes: (R, N, 2) px -> (2N, 2N), one a row.

    The first four move a mean shape as a whole (along x, along y, larger, around), since so do
    most movements of a face; the others are the principal ones of what is left, largest first.
    """
    shapes = (truth - truth.mean(dim=1, keepdim=True)) / sta.extent(truth)[:, None, None]
    mean = shapes.mean(dim=0)  # (N, 2), around 0
    one, zero = torch.ones_like(mean[:, 0]), torch.zeros_like(mean[:, 0])
    x, y = mean.unbind(dim=-1)
    whole = torch.stack([one, zero, zero, one, x, y, -y, x]).unflatten(0, (4, 2)).mT.flatten(1)
    whole = whole / whole.norm(dim=1, keepdim=True)  # orthogonal, too
    rest = (shapes - mean).flatten(1)
    rest = rest - rest @ whole.T @ whole
    scatter = rest.T @ rest
    # The four are directions without scatter; above all others they come first, and in order.
    order = torch.arange(4, 0, -1).to(mean) * (1 + scatter.trace())
    _, found = torch.linalg.eigh(scatter + whole.T @ (order[:, None] * whole))  # ascending
    return found.T.flip(0)


def variances(paths):
    """What a law starts from: the detector's errors and the truth's movements, by `directions`.

    Args:
        paths: `Paths`.

    Returns:
        basis (2N, 2N), and r, q1, q2, each (2N,), as `sta.law_of` takes them: mean squares of
        p_t - g_t, of g_t - g_(t-1) and of g_t - 2 g_(t-1) + g_(t-2), in sides of the face.
    """
    basis = directions(paths.truth)
    _, truth = paths.beside
    there, side = _present(paths.lengths, truth.device), sta.extent(truth)
    step = truth[1:] - truth[:-1]
    bend = step[1:] - step[:-1]
    moved = sta.along(basis, step)[there[1:]] / side[:-1][there[1:]][:, None]
    bent = sta.along(basis, bend)[there[2:]] / side[1:-1][there[2:]][:, None]
    seen = sta.along(basis, paths.observed - paths.truth) / sta.extent(paths.truth)[:, None]
    found = {"r": seen, "q1": moved, "q2": bent}
    return {"basis": basis} | {name: _mean_square(part) for name, part in found.items()}


def _mean_square(part):
    """Of each column; none is left so small beside the others that it allows no movement."""
    found = part.square().mean(dim=0)
    return found.clamp(min=max(FLOOR * found.mean().item(), FLOOR**3))


def fitted(paths, steps, *, weight=1.0, share=0.1, evaluations=EVALUATIONS):
    """The law that makes what a detector sees of some videos steady, and on time.

    Args:
        paths: `Paths` of training videos that the detector has not learnt by heart; one of three
            frames at least.
        steps: of EM.
        weight: mu, see `objective`.
        share: of R in Q_k, see `sta.law_of`. It is not fitted: neither measure asks for it.
        evaluations: of the objective, at most.

    Returns:
        dict of the arguments of `sta.law_of`, float64.
    """
    paths = _double(paths)
    known = variances(paths) | {"share": torch.tensor(share, dtype=torch.float64)}

    def law(values):
        values = torch.as_tensor(values, dtype=torch.float64)
        return known | {
            "factors": values[:3].exp(),
            "pi": values[3].sigmoid(),
            "beta": values[4],
        }

    def made(values):
        return partial(steady, law=sta.law_of(**law(values)), steps=steps)

    return law(_minimise(made, *FIRST, paths, weight, evaluations))


def fit(model, paths, **settings):
    """Fits an `sta.STA` to what its detector sees of videos: see `fitted`. Sets its buffers."""
    model.adopt(fitted(paths, model.steps, **settings))


def _double(paths):
    return Paths(paths.observed.double(), paths.truth.double(), tuple(paths.lengths))


# name -> (values -> smoother, first values, steps of the first simplex).
CONTROLS = {
    "exponential": (lambda v: partial(exponential, share=_sigmoid(v[0])), (0.0,), (1.0,)),
    "kalman": (
        lambda v: partial(kalman, acceleration=math.exp(v[0]), speed=math.exp(v[1])),
        (-2.0, 0.0),
        (1.0, 1.0),
    ),
}


def fit_control(name, paths, *, weight=1.0, evaluations=EVALUATIONS):
    """A control of CONTROLS, fitted as the stabiliser is: a smoother, a partial of its function."""
    made, start, steps = CONTROLS[name]
    return made(_minimise(made, start, steps, _double(paths), weight, evaluations))


# --- choosing on videos held out ----------------------------------------------------------------


def error(smoother, held, normalizer=metrics.interocular):
    """Mean NRMSE of a smoother over the frames of `Paths`; normalizer (R, N, 2) px -> (R,) px."""
    held = _double(held)
    points = smoothed(smoother, held.observed, held.lengths)
    return metrics.nrmse(points, held.truth, normalizer(held.truth)).mean().item()


def choose(model, paths, held, *, weights=WEIGHTS, shares=SHARES, **settings):
    """Fits an `sta.STA` with each weight and share, and keeps what errs least on videos held out.

    Neither measure of the objective says what a delay or a bend is worth, but the error does.

    Args:
        model: its buffers are set.
        paths: `Paths` to fit to. held: `Paths` of other training videos, for `error`.
        weights, shares: of mu, and of R in Q_k; all pairs are tried.
        settings: evaluations, as in `fitted`; normalizer, as in `error`.

    Returns:
        dict of the chosen weight and share, and `errors`, a list of (weight, share, error).
    """
    normalizer = settings.pop("normalizer", metrics.interocular)
    found = []
    for weight in weights:
        for share in shares:
            law = fitted(paths, model.steps, weight=weight, share=share, **settings)
            smoother = partial(steady, law=sta.law_of(**law), steps=model.steps)
            found.append((error(smoother, held, normalizer), weight, share, law))
    _, weight, share, law = _least(found)
    model.adopt(law)
    return {"weight": weight, "share": share, "errors": [(w, s, e) for e, w, s, _ in found]}


def _least(found):
    return min(found, key=lambda one: one[0])


def choose_control(name, paths, held, weights=WEIGHTS, normalizer=metrics.interocular):
    """`choose` of a control: the smoother, and a dict of weight and `errors`, (weight, error)."""
    found = [(weight, fit_control(name, paths, weight=weight)) for weight in weights]
    found = [(error(smoother, held, normalizer), weight, smoother) for weight, smoother in found]
    _, weight, smoother = _least(found)
    return smoother, {"weight": weight, "errors": [(w, e) for e, w, _ in found]}
