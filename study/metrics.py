"""Errors of landmarks and their intervals. Pure functions; errors are fractions, not percent.

A landmark that is not visible is NaN in the truth, and counts in no mean over landmarks. A NaN in
the prediction stays one.
"""

import numpy as np
import torch

from study.landmarks import IBUG68


def point_errors(predicted, truth):
    """Distance between each predicted landmark and the truth: (B, N, 2) px, twice -> (B, N) px."""
    return (predicted - truth).norm(dim=-1)


def _over_landmarks(errors, truth):
    """Mean of (B, N) over the landmarks that the truth (B, N, 2) has; NaN for a face without."""
    hidden = truth.isnan().any(dim=-1)
    if not hidden.any():
        return errors.mean(dim=-1)
    return errors.masked_fill(hidden, 0).sum(dim=-1) / (~hidden).sum(dim=-1)


def nrmse(predicted, truth, normalizer):
    """The paper's NRMSE of each face: mean distance over landmarks by the normaliser.

    Args:
        predicted, truth: (B, N, 2) px; the truth NaN where a landmark is not visible.
        normalizer: (B,) px of the same image, e.g. `interocular(truth)`.

    Returns:
        (B,) fractions, over the visible landmarks.

    Differs from its name: the field (300W, FHR, RED-Net, HRNet) takes the mean of the distances;
    the root of the mean square is `rms_error`.
    """
    return _over_landmarks(point_errors(predicted, truth), truth) / normalizer


def rms_error(predicted, truth, normalizer):
    """Root of the mean squared distance over landmarks, by the normaliser: (B,) fractions."""
    squares = point_errors(predicted, truth).square()
    return _over_landmarks(squares, truth).sqrt() / normalizer


def interocular(truth):
    """Distance of the outer eye corners of 68-point faces: (B, 68, 2) px -> (B,) px."""
    left, right = IBUG68.eye_corners
    return (truth[..., left, :] - truth[..., right, :]).norm(dim=-1)


def interpupil(truth):
    """Distance of the centres of the six points of each eye: (B, 68, 2) px -> (B,) px."""
    return (truth[..., 36:42, :].mean(-2) - truth[..., 42:48, :].mean(-2)).norm(dim=-1)


def turn(truth):
    """How far 68-point heads turn aside: (B, 68, 2) px -> (B,), 0 where a face looks ahead.

    The tip of the nose (30) along the line of the outer eye corners, from their middle, over their
    distance: about half the sine of the yaw, positive where the nose points to the picture's
    right, and blind to roll and size.
    """
    left, right = (truth[..., corner, :] for corner in IBUG68.eye_corners)
    across = right - left
    aside = ((truth[..., 30, :] - (left + right) / 2) * across).sum(dim=-1)
    return aside / across.square().sum(dim=-1)


def area_nrmse(predicted, truth, normalizer, scheme):
    """NRMSE over the landmarks of each facial area: a dict from area to (B,) fractions.

    NaN for a face of which an area has no visible landmark.
    """
    errors = point_errors(predicted, truth) / normalizer[:, None]  # (B, N)
    return {
        area: _over_landmarks(errors[:, list(index)], truth[:, list(index)])
        for area, index in scheme.areas.items()
    }


def cumulative_errors(errors, limit=0.08, steps=161):
    """Cumulative error distribution: the share of faces at or below each threshold.

    Args:
        errors: (B,) fractions.
        limit: the largest threshold, a fraction.
        steps: number of thresholds, from 0 to the limit, both included.

    Returns:
        thresholds (steps,), shares (steps,).
    """
    thresholds = torch.linspace(0, limit, steps, dtype=errors.dtype, device=errors.device)
    ordered = errors.sort().values
    shares = torch.searchsorted(ordered, thresholds, right=True).to(errors.dtype) / len(errors)
    return thresholds, shares


def area_under_curve(errors, limit=0.08):
    """Area under the cumulative error curve up to the limit, by the limit; exact, in [0, 1]."""
    return (1 - errors.clamp(max=limit) / limit).mean()


def failure_rate(errors, limit=0.08):
    """Share of faces whose error exceeds the limit."""
    return (errors > limit).to(errors.dtype).mean()


# --- over the frames of one video --------------------------------------------------------------


def jitter(points, normalizer):
    """Acceleration of each frame's landmarks: mean over landmarks of |p_(t+1) - 2 p_t + p_(t-1)|.

    Args:
        points: (T, N, 2) px of consecutive frames.
        normalizer: (T,) px.

    Returns:
        (T,) fractions of the normaliser; NaN in the first and the last frame.
    """
    found = torch.full_like(normalizer, torch.nan)
    if len(points) > 2:
        change = points[2:] - 2 * points[1:-1] + points[:-2]
        found[1:-1] = change.norm(dim=-1).mean(dim=-1) / normalizer[1:-1]
    return found


def delay_terms(predicted, truth, normalizer):
    """What each frame adds to the delay: the error along the way back, and the way squared.

    The delay in frames is the sum of the first over the sum of the second: 0 where the prediction
    is on time, 1 where it shows the frame before (FHR's published measure, per frame).

    Args:
        predicted, truth: (T, N, 2) px of consecutive frames.
        normalizer: (T,) px.

    Returns:
        (T,) <p_t - g_t, g_(t-1) - g_t> and (T,) |g_(t-1) - g_t|^2, over all landmarks, by the
        square of the normaliser; 0 in the first frame.
    """
    back = torch.zeros_like(truth)
    back[1:] = truth[:-1] - truth[1:]
    square = normalizer.square()
    along = ((predicted - truth) * back).sum(dim=(-1, -2)) / square
    return along, back.square().sum(dim=(-1, -2)) / square


# --- FHR's measures of stability: (T, ..., N, 2), one video or several side by side --------------


STILL = 1e-3  # of `hundredth`: less than this is no motion but the rounding of coordinates


def hundredth(truth):
    """w: a hundredth of the longer side of the landmarks' tight box, (..., N, 2) px -> (...) px."""
    return (truth.amax(dim=-2) - truth.amin(dim=-2)).amax(dim=-1) / 100


def _root_mean_square(change, unit):
    """sqrt(|change|^2 / N) / unit: (..., N, 2) px, (...) px -> (...)."""
    return change.square().sum(dim=-1).mean(dim=-1).sqrt() / unit


def lag(predicted, truth):
    """E1, how late each frame is, in frames: <y_t - g_t, g_(t-1) - g_t> / |g_(t-1) - g_t|^2.

    Over all 2N coordinates. 0 is on time, 1 where the prediction y is the truth g of the frame
    before (FHR's released code, `loss_stable`; its mean over frames is the delay).

    Args:
        predicted, truth: (T, ..., N, 2) px of consecutive frames.

    Returns:
        (T, ...) frames; NaN in the first frame, and in those where the face does not move, which
        the released code would divide by 0: up to `STILL` of w for the root of the mean of the
        squared ways of the landmarks.

    A frame with little motion weighs as much as any other and is noisy; `delay_terms` give the
    ratio of sums instead.
    """
    found = torch.full_like(truth[..., 0, 0], torch.nan)
    back = truth[:-1] - truth[1:]
    along = ((predicted - truth)[1:] * back).sum(dim=(-1, -2))
    way = back.square().sum(dim=(-1, -2))
    moves = _root_mean_square(back, hundredth(truth[1:])) > STILL
    found[1:] = torch.where(moves, along / way, torch.nan)
    return found


def extent_error(predicted, truth):
    """E2, the error of each frame in percent of the face: sqrt(|y_t - g_t|^2 / N) / w_t.

    Args:
        predicted, truth: (..., N, 2) px. w is of the truth (`hundredth`).

    Returns:
        (...,) percent of the longer side of the face.
    """
    return _root_mean_square(predicted - truth, hundredth(truth))


def unevenness(predicted, truth):
    """E3 ("sta1"), how far each frame is from the middle of its neighbours, in percent of the face.

    sqrt(|y_t - (y_(t-1) + y_(t+1)) / 2|^2 / N) / w_t: 0 on a straight way at a constant speed.

    Args:
        predicted: (T, ..., N, 2) px of consecutive frames.
        truth: of the same shape; gives w alone.

    Returns:
        (T, ...) percent of the longer side of the face; NaN in the first and the last frame.
    """
    middle = (predicted[:-2] + predicted[2:]) / 2
    return _between(predicted[1:-1] - middle, truth)


def crookedness(predicted, truth):
    """E4 ("sta2"), how far each frame is from the way between its neighbours, in percent.

    As E3 (`unevenness`) of y_t - (1 - q) y_(t-1) - q y_(t+1), with one q for all landmarks:
    <y_t - y_(t-1), y_(t+1) - y_(t-1)> / |y_(t+1) - y_(t-1)|^2, clipped to [0, 1]. It is 0 on a
    straight way at any speed that does not turn back, and never above E3.

    Args:
        predicted, truth: as in `unevenness`.

    Returns:
        (T, ...) as there. Where both neighbours are one, every q is the same, and 0 is taken.
    """
    step, whole = predicted[1:-1] - predicted[:-2], predicted[2:] - predicted[:-2]
    along, square = (step * whole).sum(dim=(-1, -2)), whole.square().sum(dim=(-1, -2))
    q = torch.where(square > 0, along / square.clamp(min=torch.finfo(square.dtype).tiny), 0.0)
    return _between(step - q.clamp(0, 1)[..., None, None] * whole, truth)


def _between(change, truth):
    """`change` (T - 2, ..., N, 2) of the frames that have two neighbours, as (T, ...) percent."""
    found = torch.full_like(truth[..., 0, 0], torch.nan)
    if len(truth) > 2:
        found[1:-1] = _root_mean_square(change, hundredth(truth[1:-1]))
    return found


STABILITY = {"E1": lag, "E2": extent_error, "E3": unevenness, "E4": crookedness}


def stability(predicted, truth):
    """FHR's four measures of one video, each a mean over the frames that have it.

    Args:
        predicted, truth: (T, N, 2) px of consecutive frames.

    Returns:
        dict of numbers: E1 in frames, E2 to E4 in percent of the longer side of the face; NaN
        where no frame has one.
    """
    return {name: term(predicted, truth).nanmean().item() for name, term in STABILITY.items()}


# --- intervals by bootstrap: numpy, since they work on tables of results -----------------------


def _resample(errors, faces, seeds, weights=None):
    """Means (draws,) of errors (S, B) over drawn faces (draws, B) and seeds (draws, S)."""
    if weights is None:
        by_seed = np.stack([row[faces].mean(axis=1) for row in errors], axis=1)  # (draws, S)
    else:
        total = weights[faces].sum(axis=1)
        by_seed = np.stack([(row * weights)[faces].sum(axis=1) / total for row in errors], axis=1)
    return np.take_along_axis(by_seed, seeds, axis=1).mean(axis=1)


def _mean(errors, weights):
    """Mean over seeds of the weighted mean over faces."""
    return np.average(errors, axis=1, weights=weights).mean()


def _drawn(count, draws, rng):
    """Indices (draws, count), drawn with replacement."""
    return rng.integers(count, size=(draws, count))


def bootstrap_mean(errors, draws=2000, seed=0, weights=None):
    """Mean error with a 95 % interval over faces and, as a second level, over seeds.

    Args:
        errors: (S, B): the same B faces measured by S trainings that differ in their seed. For
            videos, B are the videos: frames of one video are no independent draws.
        draws: bootstrap draws; each draws faces and seeds with replacement.
        seed: of the draws.
        weights: (B,), e.g. frames of each video, so that the mean is that over frames.

    Returns:
        mean, low, high, in the unit of the errors.
    """
    errors = np.atleast_2d(np.asarray(errors, dtype=float))
    rng = np.random.default_rng(seed)
    faces, seeds = (_drawn(errors.shape[axis], draws, rng) for axis in (1, 0))
    means = _resample(errors, faces, seeds, weights)
    return _mean(errors, weights), *np.quantile(means, [0.025, 0.975])


def bootstrap_decrease(before, after, draws=2000, seed=0, weights=None, paired=False):
    """Relative decrease of the mean error with a 95 % interval, paired over faces.

    Args:
        before, after: (S, B) and (S', B) errors on the same B faces in the same order.
        weights: as in `bootstrap_mean`.
        paired: whether row s of both shares what its seed decides, as two trackers around one
            detector do: then seeds are drawn together, too.

    Returns:
        decrease, low, high: fractions of `before`; positive where `after` is better.

    Raises:
        ValueError: the two do not hold the same number of faces, or of paired seeds.
    """
    (was, now), (before, after) = _both(before, after, draws, seed, weights, paired)
    return 1 - now / was, *np.quantile(1 - after / before, [0.025, 0.975])


def bootstrap_difference(before, after, draws=2000, seed=0, weights=None, paired=False):
    """Difference of the mean errors, before - after, with a 95 % interval, paired over faces.

    Args:
        before, after, draws, seed, weights, paired: as in `bootstrap_decrease`.

    Returns:
        difference, low, high, in the unit of the errors; positive where `after` is better.

    Raises:
        ValueError: as in `bootstrap_decrease`.
    """
    (was, now), (before, after) = _both(before, after, draws, seed, weights, paired)
    return was - now, *np.quantile(before - after, [0.025, 0.975])


def _both(before, after, draws, seed, weights, paired):
    """Means of two errors, and of both on the same drawn faces: two numbers, two (draws,)."""
    before, after = (np.atleast_2d(np.asarray(e, dtype=float)) for e in (before, after))
    if before.shape[1] != after.shape[1]:
        raise ValueError(f"not paired: {before.shape[1]} and {after.shape[1]} faces")
    if paired and len(before) != len(after):
        raise ValueError(f"not paired: {len(before)} and {len(after)} seeds")
    rng = np.random.default_rng(seed)
    faces = _drawn(before.shape[1], draws, rng)
    seeds = _drawn(len(after), draws, rng)
    others = seeds if paired else _drawn(len(before), draws, rng)
    drawn = _resample(before, faces, others, weights), _resample(after, faces, seeds, weights)
    return (_mean(before, weights), _mean(after, weights)), drawn
